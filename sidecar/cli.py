"""The `sidecar` command: parse, call, print.

Each command imports what it needs when it is called, so that a health check does not pay for a
proxy. Errors go to stderr as one sentence and, where something would help, a hint.
"""

# ruff: noqa: PLC0415  see above

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from sidecar.arguments import Parser, UsageError, build_parser

if TYPE_CHECKING:
    from sidecar.check import Finding, Report
    from sidecar.config import Problem
    from sidecar.core.reasons import Reason

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
FOUND: Final = 3


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    try:
        args = build_parser().parse_args(argv)
        code = _COMMANDS[args.command](args)
        sys.stdout.flush()
    except UsageError as error:
        return _fail(str(error), error.hint, USAGE)
    except KeyboardInterrupt:
        return 130  # what a shell reports for SIGINT
    except BrokenPipeError:
        # The reader has seen enough; Python must not complain about it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        return _fail(error.strerror or str(error))
    return code


def _fail(message: str, hint: str = "", code: int = FAILED) -> int:
    print(f"sidecar: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return code


def _print_json(data: Any) -> None:
    import json

    print(json.dumps(data, indent=2))


# --- run and check -----------------------------------------------------------------------------


def _run(args: argparse.Namespace) -> int:
    from sidecar.app import run
    from sidecar.config import ConfigError

    try:
        return run(args.config)
    except ConfigError as error:
        return _refuse(error.problems)


def _refuse(problems: Iterable[Problem]) -> int:
    for problem in problems:
        _fail(str(problem), problem.hint)
    return FAILED


def _check(args: argparse.Namespace) -> int:
    import time

    from sidecar.check import check

    report = check(args.config, time.time(), file_only=args.file_only)
    if args.json:
        _print_json(_report(report))
    else:
        for finding in report.findings:
            print(_line(finding))
        print(_verdict(report, str(args.config)))
    return OK if report.ok else FOUND


def _report(report: Report) -> dict[str, Any]:
    keys = ("severity", "where", "message", "hint")
    findings = [{key: getattr(each, key) for key in keys} for each in report.findings]
    spiffe_id = str(report.identity.spiffe_id) if report.identity else None
    return {"ok": report.ok, "spiffe_id": spiffe_id, "findings": findings}


def _line(finding: Finding) -> str:
    hint = f"\n         hint: {finding.hint}" if finding.hint else ""
    return f"{finding.severity:<8} {finding.where}: {finding.message}{hint}"


def _verdict(report: Report, name: str) -> str:
    errors = sum(finding.severity == "error" for finding in report.findings)
    counts = f"{_count(errors, 'error')}, {_count(len(report.findings) - errors, 'warning')}"
    if not report.ok or report.config is None:
        return f"{name}: {counts}"
    who = f" for {report.identity.spiffe_id}" if report.identity else ""
    listeners = f"{len(report.config.inbound)} inbound, {len(report.config.outbound)} outbound"
    return f"{name}: ok{who}: {listeners}, {counts}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# --- what it knows about itself ----------------------------------------------------------------


def _schema(_: argparse.Namespace) -> int:
    from sidecar.config import json_schema

    _print_json(json_schema())
    return OK


def _explain(args: argparse.Namespace) -> int:
    from sidecar.core.reasons import ALL

    reasons = list(ALL.values())
    if not args.list:
        word = args.code.upper()
        code = f"MTLS-E{word.removeprefix('MTLS-').removeprefix('E')}"
        reasons = [each for each in reasons if each.code == code or each.flag == word]
        if not reasons:
            raise UsageError(f"there is no code or flag {args.code!a}", "`sidecar explain --list`")
    if args.json:
        _print_json([_facts(reason) for reason in reasons])
    elif args.list:
        for reason in reasons:
            print(f"{reason.code}  {reason.flag:<6} {reason.status or '-':<4} {reason.title}")
    else:
        print("\n\n".join(map(_paragraph, reasons)))
    return OK


def _facts(reason: Reason) -> dict[str, Any]:
    return {key: getattr(reason, key) for key in ("code", "flag", "status", "title", "fix")}


def _paragraph(reason: Reason) -> str:
    status = f"HTTP status {reason.status}" if reason.status else "no HTTP answer is possible"
    return (
        f"{reason.code}: {reason.title}\n"
        f"  in the access log: flag {reason.flag}; to the client: {status}\n"
        f"  what helps: {reason.fix}"
    )


def _version(args: argparse.Namespace) -> int:
    import platform
    import ssl
    from importlib.metadata import PackageNotFoundError, version

    from sidecar import __version__
    from sidecar.core import exchange

    try:
        uvloop = version("uvloop")
    except PackageNotFoundError:
        uvloop = "none"
    openssl = ssl.OPENSSL_VERSION.removeprefix("OpenSSL ").partition(" ")[0]
    versions = {
        "sidecar": __version__,
        "python": platform.python_version(),
        "openssl": openssl,
        "uvloop": uvloop,
        "compiled": "no" if str(exchange.__file__).endswith(".py") else "yes",
    }
    if args.json:
        _print_json(versions)
    else:
        print("\n".join(f"{name} {number}" for name, number in versions.items()))
    return OK


def _completion(args: argparse.Namespace) -> int:
    import shtab

    parser = build_parser()
    _complete_files(parser, shtab.FILE)
    print(shtab.complete(parser, args.shell))
    return OK


def _complete_files(parser: Parser, how: Any) -> None:
    """Let `FILE` arguments complete with files; shtab looks for an attribute of each action."""
    for action in parser._actions:  # noqa: SLF001  argparse shows them in no other way
        if isinstance(action.choices, dict):
            for command in action.choices.values():
                _complete_files(command, how)
        elif action.metavar == "FILE":
            vars(action)["complete"] = how


def _healthcheck(args: argparse.Namespace) -> int:
    from sidecar import healthcheck

    try:
        if args.config:
            target = healthcheck.target_of_config(args.config)
        else:
            target = healthcheck.target_of_url(args.url or healthcheck.DEFAULT_URL)
        healthcheck.check(target)
    except healthcheck.UnhealthyError as error:
        return _fail(str(error))
    except ValueError as error:
        raise UsageError(str(error), "`sidecar healthcheck --help` has examples") from None
    return OK


_COMMANDS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "run": _run,
    "check": _check,
    "schema": _schema,
    "explain": _explain,
    "healthcheck": _healthcheck,
    "version": _version,
    "completion": _completion,
}
