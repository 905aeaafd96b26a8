"""`pki`: parse, run the command, and turn what went wrong into words and an exit code.

Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 a check found something. Errors go to standard error
as `pki: sentence` and `hint:` lines, or as one JSON object if `--json` was given.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Final

from pki.arguments import Parser, UsageError, subcommands
from pki.errors import PkiError
from pki.parser import build_parser
from pki.text import printable
from pki.world import World

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count


def main(argv: Sequence[str] | None = None, world: World | None = None) -> int:
    """Run one command and return its exit code; `--help` leaves by `SystemExit`."""
    words = sys.argv[1:] if argv is None else list(argv)
    world = world or World.real()
    try:
        return _run(words, world)
    except UsageError as error:
        return _report(error, USAGE, words, world)
    except PkiError as error:
        return _report(error, FAILED, words, world)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        return _report(_from_os(error), FAILED, words, world)
    except EOFError:
        return _report(PkiError("the input ended before it was answered"), FAILED, words, world)
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(words: list[str], world: World) -> int:
    args = _parse(words)
    module, _, function = args.run.partition(":")
    run = getattr(import_module(f"pki.commands.{module}"), function)
    code = run(args, world)
    world.out.flush()
    return int(code)


def _parse(words: list[str]) -> argparse.Namespace:
    parser = build_parser()
    _check_command(words, parser)
    args, unknown = parser.parse_known_args(words)
    if unknown:
        raise _unknown_argument(unknown[0], parser, words)
    return args


def _check_command(words: list[str], parser: Parser) -> None:
    """Say which command was meant, where argparse would list them all."""
    at = parser
    for depth, word in enumerate(words):
        known = subcommands(at)
        if word.startswith("-") or not known:
            return
        if word not in known:
            typed = printable(" ".join(words[: depth + 1]))
            near = [f"`{at.prog} {name}`" for name in _nearest(word, known)]
            raise UsageError(f"there is no command '{typed}'", _hint(near, at))
        at = known[word]


def _unknown_argument(typed: str, parser: Parser, words: list[str]) -> UsageError:
    for word in words:
        parser = subcommands(parser).get(word, parser)
    options = [
        option
        for action in parser._actions  # noqa: SLF001  # as in `subcommands`
        for option in action.option_strings
    ]
    near = _nearest(typed, options)
    return UsageError(f"{printable(typed)} is not known here", _hint(near, parser))


def _nearest(word: str, known: Iterable[str]) -> list[str]:
    names = list(known)
    begun = [name for name in names if name.startswith(word)]
    return begun[:1] or difflib.get_close_matches(word, names, n=1)


def _hint(near: list[str], parser: Parser) -> str:
    return f"did you mean {near[0]}?" if near else f"`{parser.prog} --help` shows what there is"


def _from_os(error: OSError) -> PkiError:
    words = (error.strerror or type(error).__name__).lower()
    name = error.filename
    where = f"{printable(os.fsdecode(name))}: " if isinstance(name, str | bytes) else ""
    return PkiError(f"{where}{words}")


def _report(error: PkiError, code: int, words: Sequence[str], world: World) -> int:
    if "--json" in words:
        value = {"error": str(error), "hints": list(error.hints), "exit_code": code}
        world.note(json.dumps(value))
    else:
        world.note(f"pki: {error}", *(f"hint: {hint}" for hint in error.hints))
    return code
