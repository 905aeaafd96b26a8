"""The reference pages leave nothing out, and the complete example is complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from docs.reference import configuration, error_codes, table
from sidecar.config import parse
from sidecar.config.kinds import Group, Kind, Many, Maybe, group
from sidecar.config.model import Config
from sidecar.config.tree import Node, build
from sidecar.core.reasons import ALL

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "sidecar-complete.yaml"


def groups(kind: Kind, path: str = "") -> Iterator[tuple[Group, str]]:
    """Every group of keys, with its path in the page's writing."""
    match kind:
        case Group():
            yield kind, path
            for field in kind.fields:
                yield from groups(field.kind, f"{path}.{field.key}".removeprefix("."))
        case Many():
            yield from groups(kind.item, f"{path}[]")
        case Maybe():
            yield from groups(kind.kind, path)
        case _:
            pass


def used(kind: Kind, node: Node) -> Iterator[tuple[type, str]]:
    """Every key that a file uses, with the struct that it belongs to."""
    match kind, node.value:
        case Group(), dict() as entries:
            for field in kind.fields:
                if field.key in entries:
                    yield kind.cls, field.key
                    yield from used(field.kind, entries[field.key])
        case Many(), list() as items:
            for item in items:
                yield from used(kind.item, item)
        case Maybe(), _:
            yield from used(kind.kind, node)
        case _:
            pass


def test_every_key_has_its_row_in_the_section_of_its_group() -> None:
    sections = configuration("").split("\n## ")
    for found, path in groups(group(Config)):
        title = f"`{path}`" if path else "The whole file"
        (section,) = (each for each in sections if title in each.partition("\n")[0].split(", "))
        for field in found.fields:
            (row,) = (
                line for line in section.splitlines() if line.startswith(f"| `{field.key}` |")
            )
            assert row.endswith(f"| {field.about} |")
            assert ("**required**" in row) is field.required


def test_the_complete_example_has_every_key_and_is_valid() -> None:
    text = EXAMPLE.read_text("utf-8")
    parse(text, EXAMPLE.name)
    every = {(found.cls, field.key) for found, _ in groups(group(Config)) for field in found.fields}
    have = set(used(group(Config), build(text, EXAMPLE.name)))
    # The outbound time-outs are those of inbound, which it has, but for `idle`.
    missing = {key for cls, key in every - have if cls.__name__ != "OutboundTimeouts"}
    assert missing == set()
    assert text in configuration("")


def test_the_complete_example_shows_the_defaults() -> None:
    config = parse(EXAMPLE.read_text("utf-8"), EXAMPLE.name)
    web, orders = config.inbound[0], config.outbound[0]
    defaults = parse((ROOT / "examples/sidecar.yaml").read_text("utf-8"), "sidecar.yaml")
    assert web.timeouts == defaults.inbound[0].timeouts
    assert web.limits == defaults.inbound[0].limits
    assert orders.timeouts == defaults.outbound[0].timeouts
    assert config.tls == defaults.tls
    assert (config.loop, config.access_log) == (defaults.loop, defaults.access_log)
    assert config.drain_timeout == defaults.drain_timeout
    assert config.reload_interval == defaults.reload_interval


def test_every_code_has_its_row() -> None:
    page = error_codes("")
    for code, reason in ALL.items():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{code}` |"))
        for text in (reason.flag, reason.title, reason.fix):
            assert text.replace("|", "\\|") in row


def test_a_bar_does_not_end_a_cell() -> None:
    assert table(["a"], [["x|y"]]) == "| a |\n| --- |\n| x\\|y |\n"
