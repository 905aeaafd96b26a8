"""The command line as data: what can be typed, with its help. Nothing is done here.

Nothing heavy is imported either, so help, completion and the health check answer at once. The
texts are also the source of `docs/sidecar.md`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final, NoReturn

from sidecar import __version__
from sidecar.healthcheck import DEFAULT_URL

SHELLS: Final = ("bash", "zsh")
_EXIT_CODES: Final = "exit codes: 0 ok, 1 failed, 2 wrong usage, 3 a check found something"

Commands = Any  # argparse's own type for it is private


class UsageError(Exception):
    """What was typed cannot be understood."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UsageError` where argparse would print and leave."""

    def error(self, message: str) -> NoReturn:
        """Refuse what was typed."""
        raise UsageError(message, f"`{self.prog} --help` shows how it is used")


def build_parser() -> Parser:
    """The whole command line of `sidecar`."""
    parser = Parser(
        prog="sidecar",
        description="Mutual TLS for an application that knows nothing of it.",
        epilog=_examples(
            "sidecar check --config sidecar.yaml",
            "sidecar run --config sidecar.yaml",
            "sidecar explain MTLS-E201",
        )
        + f"\n\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sidecar {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (_run, _check, _schema, _explain, _healthcheck, _version, _completion):
        add(commands)
    return parser


def _command(commands: Commands, name: str, summary: str, text: str, *examples: str) -> Parser:
    parser: Parser = commands.add_parser(
        name,
        help=summary,
        description=text,
        epilog=_examples(*examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return parser


def _examples(*lines: str) -> str:
    return "\n".join(("examples:", *(f"  {line}" for line in lines)))


def _run(commands: Commands) -> None:
    parser = _command(
        commands,
        "run",
        "run the proxy until it is told to stop",
        "Serve the listeners of a configuration. The file and the identity are read again when\n"
        "they change and on SIGHUP; a bad one changes nothing and says so. SIGTERM drains: no new\n"
        "connections, open requests finish, exit code 0 if all of them did and 1 if not.\n"
        "Access log on stdout, one JSON object a line; operational log on stderr.",
        "sidecar run --config sidecar.yaml",
    )
    _config(parser, required=True)


def _check(commands: Commands) -> None:
    parser = _command(
        commands,
        "check",
        "find what would fail, before it does",
        "Check a configuration and what it names: the keys and values, the identity (readable,\n"
        "matching, in time, trusted by its own bundle), the trust domains of rules, the ports.\n"
        "An application that does not answer yet is a warning. Exit code 3 if there are errors.",
        "sidecar check --config sidecar.yaml",
        "sidecar check --config sidecar.yaml --file-only --json",
    )
    _config(parser, required=True)
    parser.add_argument(
        "--file-only",
        action="store_true",
        help="look at the file alone, not at the identity and the network: for another machine",
    )
    _json(parser)


def _schema(commands: Commands) -> None:
    _command(
        commands,
        "schema",
        "print the JSON Schema of the configuration",
        "Print the JSON Schema (draft 2020-12) of the configuration file, for editors and CI.\n"
        "A first line `# yaml-language-server: $schema=schema.json` in the file lets editors\n"
        "complete its keys.",
        "sidecar schema > schema.json",
    )


def _explain(commands: Commands) -> None:
    parser = _command(
        commands,
        "explain",
        "say what an error code means and what helps",
        "Explain a code of the access log, the operational log or the metrics, or all codes that\n"
        "share a flag.",
        "sidecar explain MTLS-E201",
        "sidecar explain DENY",
        "sidecar explain --list",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "code", metavar="CODE", nargs="?", help="a code or a flag, such as MTLS-E201, 201 or DENY"
    )
    what.add_argument("--list", action="store_true", help="list all codes")
    _json(parser)


def _healthcheck(commands: Commands) -> None:
    parser = _command(
        commands,
        "healthcheck",
        "ask a running sidecar whether it is ready",
        "Ask /readyz and exit with 0 if the answer is yes, else with 1 and the reason, after two\n"
        "seconds at the latest. With neither --config nor --url the default admin port is asked.\n"
        "--url starts faster, because no file is read.",
        "sidecar healthcheck --url http://127.0.0.1:9446/readyz",
        "sidecar healthcheck --config sidecar.yaml",
    )
    where = parser.add_mutually_exclusive_group()
    _config(where, required=False, text="ask the admin port of FILE, else its health port")
    where.add_argument("--url", metavar="URL", help=f"ask this (default: {DEFAULT_URL})")


def _version(commands: Commands) -> None:
    parser = _command(
        commands,
        "version",
        "print the versions of the sidecar and of what it runs on",
        "Print the versions of the sidecar, Python, OpenSSL and uvloop.",
        "sidecar version --json",
    )
    _json(parser)


def _completion(commands: Commands) -> None:
    parser = _command(
        commands,
        "completion",
        "print a completion script for the shell",
        "Print a script that teaches bash or zsh to complete `sidecar` commands.",
        "sidecar completion bash > ~/.local/share/bash-completion/completions/sidecar",
        "sidecar completion zsh > ~/.zfunc/_sidecar",
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=" or ".join(SHELLS))


def _config(parser: Any, *, required: bool, text: str = "the configuration, YAML") -> None:
    option = {"required": True} if required else {}
    parser.add_argument("--config", metavar="FILE", type=Path, help=text, **option)


def _json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
