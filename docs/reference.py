"""The references of the configuration file and of the error codes, as Markdown.

What a page says about keys and codes is read from the definitions that the proxy itself runs on;
`docs/generate.py` writes the pages and knows when they are out of date.
"""  # noqa: INP001  # a folder of pages, no package

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from sidecar.config.kinds import Choice, Field, Flag, Group, Kind, Many, Maybe, Number, Text, group
from sidecar.config.model import Config
from sidecar.config.schema import default
from sidecar.core.reasons import ALL, Reason

EXAMPLE: Final = Path(__file__).resolve().parent.parent / "examples" / "sidecar-complete.yaml"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


# --- the configuration ---------------------------------------------------------------------------

_CONFIGURATION: Final = """\
`sidecar run --config FILE` reads one YAML file. `sidecar check --config FILE` says what is wrong
with it and with what it names; `sidecar schema` prints its JSON Schema for editors. How rules are
written: [policy.md](policy.md).

The file is read again when it changes and on SIGHUP. A file with a mistake changes nothing: the
last good one keeps running, and `/readyz` and the log say why.

## How values are written

| Kind | Written as |
| --- | --- |
| duration | a whole number and `ms`, `s`, `m` or `h` (`250ms`, `24h`), or a number of seconds |
| size | a whole number and `B`, `KiB`, `MiB` or `GiB` (`64KiB`), or a number of bytes |
| address | `HOST:PORT`, `[IPV6]:PORT` or `unix:/PATH` |
| SPIFFE ID pattern | `spiffe://TRUST-DOMAIN/PATH`; `*` is one segment, `**` any number |
| path pattern | `/PATH`; `*` is one segment, `**` any number |

YAML is read plainly: values are text, numbers, `true`, `false`, lists and keys. `off`, `no` and
`1:20` are text. Keys given twice, anchors, aliases, tags, second documents, tabs and files over
1 MiB are refused. Text that begins with `*` needs quotes. Keys that are not known are refused.

## What must fit together

* An inbound listener needs `allow`: what no rule allows is refused.
* The plain sides, `inbound[].forward` and `outbound[].listen`, are loopback or UNIX sockets,
  unless `unsafe_plaintext: true` stands beside them. `admin.listen` always is. `health.listen`
  may be any address.
* `methods` and `paths` go with `protocol: http`, `proxy_protocol` with `protocol: tcp`.
* Names of listeners are unique, and so are those of the rules of one listener. No two listeners
  have one address. Port 0 lets the system choose a port to listen on.
"""


def configuration(note: str) -> str:
    """The reference of the configuration file; `note` says where the page comes from."""
    tables = (_group_section(found, paths) for found, paths in _groups())
    example = f"## A complete example\n\n```yaml\n{EXAMPLE.read_text('utf-8')}```\n"
    return "\n".join(("# Configuration\n", f"{note}\n", _CONFIGURATION, *tables, example))


def _groups() -> Iterator[tuple[Group, list[str]]]:
    """Every group of keys, once, with all the places where it may stand."""
    found: dict[type, tuple[Group, list[str]]] = {}
    _collect(group(Config), "", found)
    yield from found.values()


def _collect(kind: Kind, path: str, found: dict[type, tuple[Group, list[str]]]) -> None:
    match kind:
        case Maybe():
            _collect(kind.kind, path, found)
        case Many():
            _collect(kind.item, f"{path}[]", found)
        case Group():
            found.setdefault(kind.cls, (kind, []))[1].append(path)
            for field in kind.fields:
                _collect(field.kind, f"{path}.{field.key}".removeprefix("."), found)
        case _:
            pass


def _group_section(found: Group, paths: list[str]) -> str:
    title = ", ".join(f"`{path}`" for path in paths) if any(paths) else "The whole file"
    head = ("Key", "Type", "Default", "Bounds", "Meaning")
    return f"## {title}\n\n{found.about}\n\n{table(head, map(_row, found.fields))}"


def _row(field: Field) -> list[str]:
    return [f"`{field.key}`", _type(field.kind), _default(field), _bounds(field.kind), field.about]


def _type(kind: Kind) -> str:
    match kind:
        case Maybe():
            return _type(kind.kind)
        case Many():
            return f"list of {_type(kind.item)}"
        case Text():
            words = kind.what.partition(":")[0]
            return words.removeprefix("a ").removeprefix("an ")
        case Number():
            return kind.unit.name if kind.unit else "whole number"
        case Choice():
            return ", ".join(f"`{value}`" for value in kind.values)
        case Flag():
            return "`true`, `false`"
        case Group():
            return "keys"


def _default(field: Field) -> str:
    if field.required:
        return "**required**"
    if isinstance(field.kind, Group) or field.default in (None, ()):
        return ""
    written = default(field)
    return f"`{str(written).lower() if isinstance(written, bool) else written}`"


def _bounds(kind: Kind) -> str:
    match kind:
        case Maybe():
            return _bounds(kind.kind)
        case Many(least=least):
            return f"at least {least}" if least else ""
        case Number():
            return f"{kind.show(kind.least)} to {kind.show(kind.most)}"
        case Text():
            return kind.what.partition(": ")[2]
        case _:
            return ""


# --- the error codes -----------------------------------------------------------------------------

_CODES: Final = """\
Every refusal has a code that never changes: in the access log (`code`, and `flags` as a short
word), in the metrics and in the operational log. `sidecar explain CODE` prints what is here.
A status of `-` means that no HTTP answer is possible: the connection ends.
"""
_HUNDREDS: Final = {
    "1": "The peer's certificate and the handshake",
    "2": "Policy",
    "3": "The request",
    "4": "The upstream",
    "5": "Limits and life cycle",
}


def error_codes(note: str) -> str:
    """The reference of the codes; `note` says where the page comes from."""
    sections = []
    for hundred, title in _HUNDREDS.items():
        reasons = [each for each in ALL.values() if each.code[len("MTLS-E")] == hundred]
        head = ("Code", "Flag", "Status", "Meaning", "What helps")
        sections.append(f"## {title}\n\n{table(head, map(_code_row, reasons))}")
    return "\n".join(("# Error codes\n", f"{note}\n", _CODES, *sections))


def _code_row(reason: Reason) -> list[str]:
    status = str(reason.status or "-")
    return [f"`{reason.code}`", f"`{reason.flag}`", status, reason.title, reason.fix]
