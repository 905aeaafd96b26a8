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
        known = _options(parser, words)
        raise UsageError(f"{printable(unknown[0])} is not known here", *_meant(unknown[0], known))
    return args


def _check_command(words: list[str], parser: Parser) -> None:
    """Say which command was meant, where argparse would list them all."""
    at = parser
    for depth, word in enumerate(words):
        known = subcommands(at)
        if word.startswith("-") or not known:
            return
        if word not in known:
            typed = " ".join((at.prog, *_meant_words(word, known)))
            raise UsageError(
                f"there is no command {printable(' '.join(words[: depth + 1]))!r}",
                f"did you mean `{typed}`?" if typed != at.prog else f"`{at.prog} --help` lists all",
            )
        at = known[word]


def _options(parser: Parser, words: list[str]) -> list[str]:
    """Every option of the command that was typed."""
    for word in words:
        parser = subcommands(parser).get(word, parser)
    return [
        option
        for action in parser._actions  # noqa: SLF001  # as in `subcommands`
        for option in action.option_strings
    ]


def _meant(word: str, known: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"did you mean {near}?" for near in _meant_words(word, known))


def _meant_words(word: str, known: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(word, list(known), n=1)


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
