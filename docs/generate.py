"""Write the pages of `docs/` that come from the code, or say which are out of date.

    python -m docs.generate            write them
    python -m docs.generate --check    exit 1 if a committed page differs from the code

Each page is a function that returns its whole text; `PAGES` names them. What a page says is said
once: in the help text of a command, in the table of a rule, in a schema.
"""  # noqa: INP001  # a folder of pages, no package

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
WIDTH: Final = 90
NOTE: Final = "<!-- Written by `python -m docs.generate`; change the code, not this page. -->"


def pki_page() -> str:
    """The `pki` command reference."""
    from pki.parser import build_parser  # noqa: PLC0415  # a page loads only what it is about

    return command_page(build_parser(), "`pki`: the mini-CA on the command line", _PKI_INTRO)


_PKI_INTRO: Final = """\
From nothing to certificates in three commands:

    pki init --dir ca --trust-domain demo.local
    pki issue --dir ca --spiffe-id spiffe://demo.local/ns/shop/sa/web --out web
    pki verify web

`web` is then an identity folder: `tls.crt` (the leaf, then its intermediates), `tls.key` (0600) and
`ca.crt` (the roots to trust), the names that Kubernetes TLS Secrets use. The sidecar reads it as
it is, with `crl.pem` beside them if there is one.

Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 a check found something. Errors are one
sentence and what to do next; with `--json` they are one JSON object on standard error. No command
takes a passphrase or a key as an argument or from the environment, and none prints a key, except
`--format k8s-secret --out -`, which is asked to.\
"""


def command_page(parser: argparse.ArgumentParser, title: str, intro: str) -> str:
    """A Markdown reference of a whole command line, one section for each command."""
    parts = [f"# {title}", NOTE, intro]
    for command in _commands(parser):
        parts += _section(command)
    return "\n\n".join(parts) + "\n"


def _commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Every command that can be run, groups opened, in the order of the help."""
    for action in parser._actions:  # noqa: SLF001  # argparse does not offer them otherwise
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # as above
            for command in action.choices.values():
                inner = list(_commands(command))
                yield from inner or [command]


def _section(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## {parser.prog}"
    yield " ".join((parser.description or "").split())
    yield _synopsis(parser)
    rows = [_row(action) for action in _arguments(parser)]
    if rows:
        yield "\n".join(("| argument | meaning |", "|---|---|", *rows))
    if parser.epilog:
        heading, *lines = parser.epilog.splitlines()
        yield "\n".join((heading.capitalize(), "", *(f"    {line[2:]}".rstrip() for line in lines)))


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # noqa: SLF001  # as in `_commands`
        if not isinstance(action, argparse._HelpAction):  # noqa: SLF001  # every command has it
            yield action


def _synopsis(parser: argparse.ArgumentParser) -> str:
    """The whole command as an indented block; an argument is never torn at a line's end."""
    lines = [f"    {parser.prog}"]
    for action in _arguments(parser):
        word = f" {_spelled(action)}"
        if len(lines[-1]) + len(word) > WIDTH:
            lines.append("       ")
        lines[-1] += word
    return "\n".join(lines)


def _spelled(action: argparse.Action) -> str:
    """An argument as a synopsis has it: `[--dns NAME]…`, `--dir DIR`, `FILE…`."""
    text = _signature(action)
    text = text if action.required else f"[{text}]"
    repeated = action.nargs == "+" or isinstance(action, argparse._AppendAction)  # noqa: SLF001  # as above
    return f"{text}…" if repeated else text


def _signature(action: argparse.Action) -> str:
    flag = ", ".join(action.option_strings[-1:])
    if action.nargs == 0:
        return flag
    return f"{flag} {_value(action)}".strip()


def _value(action: argparse.Action) -> str:
    if action.choices and not action.metavar:
        return "|".join(map(str, action.choices))
    return str(action.metavar or action.dest.upper())


def _row(action: argparse.Action) -> str:
    """A table row; bars are escaped in code too (GitHub's tables), asterisks only outside."""
    text = (action.help or "") % {"default": action.default}
    cells = (f"`{_signature(action)}`", text.replace("*", "\\*"))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def sidecar_page() -> str:
    """The `sidecar` command reference."""
    from sidecar.arguments import build_parser  # noqa: PLC0415  # as above

    return command_page(build_parser(), "`sidecar`: the proxy on the command line", _SIDECAR_INTRO)


_SIDECAR_INTRO: Final = """\
Write a configuration ([configuration.md](configuration.md)), look whether it can work, run it:

    sidecar check --config sidecar.yaml
    sidecar run --config sidecar.yaml

Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 a check found something. Errors are one sentence and a
hint what to do next, on standard error.\
"""


def configuration_page() -> str:
    """The reference of the configuration file."""
    from docs.reference import configuration  # noqa: PLC0415  # as above

    return configuration(NOTE)


def error_codes_page() -> str:
    """The reference of the error codes."""
    from docs.reference import error_codes  # noqa: PLC0415  # as above

    return error_codes(NOTE)


PAGES: Final[dict[str, Callable[[], str]]] = {
    "docs/pki.md": pki_page,
    "docs/sidecar.md": sidecar_page,
    "docs/configuration.md": configuration_page,
    "docs/error-codes.md": error_codes_page,
}


def main() -> int:
    """Write all pages, or check them; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, compare")
    check = parser.parse_args().check
    stale = []
    for name, page in PAGES.items():
        path, text = ROOT / name, page()
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, "utf-8")
    for name in stale:
        sys.stdout.write(f"{name} {'is out of date' if check else 'written'}\n")
    if check and stale:
        sys.stdout.write("hint: python -m docs.generate\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
