"""YAML -> configuration, with everything that is wrong said at once.

One walk over the file's nodes and the model's kinds, side by side. About a value that cannot be
read a problem is noted, the struct around it is not built, and the walk goes on with the next
key: people mend a file once, not once for each mistake in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from sidecar.config import problem
from sidecar.config.kinds import Choice, Field, Flag, Group, Kind, Many, Maybe, Number, Text, group
from sidecar.config.model import Config
from sidecar.config.problem import ConfigError, Problem, show_path
from sidecar.config.rules import complaints
from sidecar.config.tree import MAX_FILE_BYTES, Node, build
from sidecar.config.values import InvalidValueError, quote

_WRONG: Final = object()  # stands for a value about which a problem has been noted


def load(path: Path) -> Config:
    """Read the file at `path` or raise `ConfigError`; a relative `identity.dir` begins there."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, "", "", f"{error.strerror}".lower())]) from None
    config = parse(data, str(path))
    folder = str(path.parent / config.identity.dir)
    identity = msgspec.structs.replace(config.identity, dir=folder)
    return msgspec.structs.replace(config, identity=identity)


def parse(text: str | bytes, filename: str) -> Config:
    """Read a configuration from text, or raise `ConfigError` with all that is wrong with it."""
    root = build(text, filename)
    reader = _Reader(filename)
    config = reader.value(group(Config), root, ())
    if reader.problems:
        raise ConfigError(reader.problems)
    assert isinstance(config, Config)
    return config


class _Reader:
    """Notes problems while it turns nodes into values."""

    def __init__(self, filename: str) -> None:
        self.problems: list[Problem] = []
        self._filename = filename

    def value(self, kind: Kind, node: Node, path: problem.Path) -> Any:
        """The value of a node, or `_WRONG` if it has a problem."""
        match kind, node.value:
            case Maybe(), value:
                return None if value is None else self.value(kind.kind, node, path)
            case Group(), dict() as entries:
                return self._group(kind, node, entries, path)
            case Many(), list() as items:
                return self._many(kind, node, items, path)
            case Text(), str(text):
                return self._text(kind, text, node, path)
            case Number(), int() | float() | str() as value if not isinstance(value, bool):
                return self._number(kind, value, node, path)
            case Choice(values=values), str(word) if word in values:
                return word
            case Flag(), bool(flag):
                return flag
            case _:
                return self._unexpected(kind, node, path)

    def _group(
        self, kind: Group, node: Node, entries: dict[str, Node], path: problem.Path
    ) -> object:
        self._unknown(kind, entries, path)
        values: dict[str, object] = {}
        for field in kind.fields:
            below = (*path, field.key)
            if field.key in entries:
                values[field.attribute] = self._field(field, entries[field.key], below)
            elif field.required:
                values[field.attribute] = self._missing(field, node, below)
        if any(value is _WRONG for value in values.values()):
            return _WRONG
        struct = kind.cls(**values)
        for complaint in complaints(struct):
            place = node.find(complaint.path)
            found = _found(place) if isinstance(place.value, str) else ""
            below = (*path, *complaint.path)
            self._note(place, below, complaint.message, complaint.hint, found)
        return struct

    def _unknown(self, kind: Group, entries: dict[str, Node], path: problem.Path) -> None:
        known = [field.key for field in kind.fields]
        for key, node in entries.items():
            if key not in known:
                hint = _nearest(key, known) or f"the keys here are {', '.join(known)}"
                self._note(node, (*path, key), "this key is not known", hint)

    def _field(self, field: Field, node: Node, path: problem.Path) -> object:
        if field.missing and node.value == []:
            return self._missing(field, node, path)
        return self.value(field.kind, node, path)

    def _missing(self, field: Field, node: Node, path: problem.Path) -> object:
        message = field.missing or "this key is required and missing"
        return self._note(node, path, message, field.hint or f"{field.key}: {field.about}")

    def _many(self, kind: Many, node: Node, items: list[Node], path: problem.Path) -> object:
        if len(items) < kind.least:
            return self._note(node, path, "the list is empty", "leave the key out if all are meant")
        values = [self.value(kind.item, item, (*path, i)) for i, item in enumerate(items)]
        return _WRONG if any(value is _WRONG for value in values) else tuple(values)

    def _text(self, kind: Text, text: str, node: Node, path: problem.Path) -> object:
        try:
            return kind.parse(text)
        except ValueError as error:
            return self._note(node, path, str(error), kind.hint, quote(text))

    def _number(self, kind: Number, value: float | str, node: Node, path: problem.Path) -> object:
        if isinstance(value, str):
            if kind.unit is None:
                return self._unexpected(kind, node, path)
            try:
                value = kind.unit.parse(value)
            except InvalidValueError as error:
                return self._note(node, path, str(error), "", _found(node))
        if kind.whole and value != int(value):
            return self._unexpected(kind, node, path)
        if not kind.least <= value <= kind.most:
            bounds = f"from {kind.show(kind.least)} to {kind.show(kind.most)}"
            return self._note(node, path, f"{_found(node)} is not {bounds}", "", _found(node))
        return int(value) if kind.whole else float(value)

    def _unexpected(self, kind: Kind, node: Node, path: problem.Path) -> object:
        found = _found(node)
        return self._note(
            node, path, f"expected {kind.what}, found {found}", _cure(kind, node), found
        )

    def _note(
        self, node: Node, path: problem.Path, message: str, hint: str = "", found: str = ""
    ) -> object:
        key = show_path(path)
        self.problems.append(Problem(self._filename, node.line, key, found, message, hint))
        return _WRONG


def _found(node: Node) -> str:
    """What stands at a key, in words and on one line."""
    match node.value:
        case None:
            return "nothing"
        case dict():
            return "keys and values"
        case list():
            return "a list"
        case bool(flag):
            return "true" if flag else "false"
        case str(text):
            return quote(text)
        case number:
            return f"the number {number}"


def _cure(kind: Kind, node: Node) -> str:
    """What would mend a value of another kind than is wanted there."""
    match kind, node.value:
        case Choice(values=values), str(word):
            return _nearest(word, values)
        case Many(), str() | dict():
            return "write a list: each item on its own line after a `-`, or all of them in [ ]"
        case Text(hint=""), int() | float():
            return "text that looks like a number needs quotes"
        case Text(hint=hint), _:
            return hint
        case Choice(), int() | float():
            return "put it in quotes"
        case _:
            return ""


def _nearest(word: str, words: Sequence[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  only a wrong file needs it

    near = get_close_matches(word, words, 1, 0.6)
    return f"did you mean `{near[0]}`?" if near else ""
