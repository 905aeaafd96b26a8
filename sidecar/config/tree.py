"""YAML text -> a tree of nodes that know their line, and nothing that YAML can do beyond that.

PyYAML's constructor loses lines, keeps the last of two equal keys, follows aliases and reads
`off`, `no` and `1:20` as something other than they look. So the tree is built from the parser's
events by one short loop: plain scalars mean what they mean in JSON (YAML 1.2 core schema without
its octal and infinite numbers), and anchors, aliases, tags, second documents and keys given twice
are refused by name, as is text that could not be shown as it is. Whatever is refused costs no
more than reading up to that point.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import yaml

from sidecar.config.problem import ConfigError, Path, Problem, show_path
from sidecar.config.values import quote

MAX_FILE_BYTES: Final = 2**20  # 1 MiB: hundreds of listeners fit into a tenth of it
MAX_DEPTH: Final = 16  # the deepest key of the model is at 6

Value = None | bool | int | float | str | list["Node"] | dict[str, "Node"]

_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?")
_WORDS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the file and the line (from 1) of its key, or of itself in a list."""

    value: Value
    line: int

    def find(self, path: Path) -> Node:
        """The node at `path`, or the deepest one on the way there that exists."""
        node = self
        for step in path:
            match node.value, step:
                case dict() as entries, str() if step in entries:
                    node = entries[step]
                case list() as items, int() if step < len(items):
                    node = items[step]
                case _:
                    break
        return node

    def plain(self) -> object:
        """The same values without their lines, as a JSON reader would give them."""
        match self.value:
            case dict() as entries:
                return {key: node.plain() for key, node in entries.items()}
            case list() as items:
                return [node.plain() for node in items]
            case value:
                return value


def build(data: bytes | str, filename: str) -> Node:
    """Read one YAML document, or raise `ConfigError` with the place and the cure."""
    text = _decode(data, filename)
    try:
        return _Builder(yaml.parse(text, Loader=yaml.SafeLoader), filename).document()
    except yaml.MarkedYAMLError as error:
        raise _explain(error, text, filename) from None
    except yaml.reader.ReaderError as error:
        found = "" if isinstance(error.character, bytes) else quote(chr(error.character))
        line = text.count("\n", 0, error.position) + 1
        message = f"a character that no YAML file may hold: {found}"
        raise ConfigError((Problem(filename, line, "", found, message),)) from None


def _decode(data: bytes | str, filename: str) -> str:
    if len(data) > MAX_FILE_BYTES:
        message = f"the file has more than {MAX_FILE_BYTES} bytes; is it the right one?"
        raise ConfigError((Problem(filename, 1, "", "", message),))
    if isinstance(data, str):
        return data
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = "the file is not UTF-8"
        raise ConfigError((Problem(filename, line, "", "", message),)) from None


class _Builder:
    """Turns the parser's events into nodes, one recursion for each level of the file."""

    def __init__(self, events: Iterator[yaml.Event], filename: str) -> None:
        self._events = events
        self._filename = filename

    def document(self) -> Node:
        next(self._events)  # the stream's start
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            raise self._refusal(start, (), "the file is empty", "copy examples/sidecar.yaml")
        root = self._node(next(self._events), (), 0)
        next(self._events)  # the document's end
        end = next(self._events)
        if not isinstance(end, yaml.StreamEndEvent):
            raise self._refusal(end, (), "a second document begins here", "remove the `---`")
        return root

    def _node(self, event: yaml.Event, path: Path, line: int) -> Node:
        self._check(event, path)
        line = line or _line(event)
        match event:
            case yaml.ScalarEvent():
                return Node(_scalar(event), line)
            case yaml.SequenceStartEvent():
                return Node(self._items(path), line)
            case _:
                return Node(self._entries(path), line)

    def _items(self, path: Path) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items)), 0))
        return items

    def _entries(self, path: Path) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            self._check(event, path)
            if not isinstance(event, yaml.ScalarEvent):
                raise self._refusal(event, path, "a key is a word, not a list or a mapping")
            key = str(event.value)
            if key in entries:
                message = f"the key is given twice, first in line {entries[key].line}"
                raise self._refusal(event, (*path, key), message)
            entries[key] = self._node(next(self._events), (*path, key), _line(event))
        return entries

    def _check(self, event: yaml.Event, path: Path) -> None:
        """Refuse what YAML offers and a configuration has no use for."""
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            hint = "write the value out; text that begins with * or & needs quotes"
            raise self._refusal(event, path, "anchors and aliases are not read here", hint)
        tag = getattr(event, "tag", None)
        if tag not in {None, "!"}:
            raise self._refusal(event, path, "tags are not read here", f"remove {tag!a}")
        if isinstance(event, yaml.ScalarEvent) and not event.value.isprintable():
            message = f"{quote(event.value)} has a character that cannot be printed"
            raise self._refusal(event, path, message)
        if len(path) > MAX_DEPTH:
            raise self._refusal(event, path, f"nested deeper than {MAX_DEPTH} levels")

    def _refusal(self, event: yaml.Event, path: Path, message: str, hint: str = "") -> ConfigError:
        problem = Problem(self._filename, _line(event), show_path(path), "", message, hint)
        return ConfigError((problem,))


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _scalar(event: yaml.ScalarEvent) -> Value:
    text = str(event.value)
    if event.style is not None:  # quoted, or a block: always text
        return text
    if text in _WORDS:
        return _WORDS[text]
    if number := _NUMBER.fullmatch(text):
        return float(text) if number[2] else int(text)
    return text


def _explain(error: yaml.MarkedYAMLError, text: str, filename: str) -> ConfigError:
    """Say in this project's words what the YAML parser could not read."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    rows = text.split("\n")
    row = rows[line] if line < len(rows) else ""
    here, before = row[column : column + 1], row[max(column - 1, 0) : column]
    message = f"this is not YAML: {error.problem}"
    hint = "check the indentation and the quotes around here"
    if here == "\t":
        message, hint = "a tab stands where YAML wants spaces", "indent with spaces only"
    elif (here and here in "@`%") or (before and before in "*&!"):
        hint = "text that begins with * & ! @ % or ` needs quotes"
    elif here == ":":
        hint = "text that holds a colon and a space needs quotes"
    return ConfigError((Problem(filename, line + 1, "", "", message, hint),))
