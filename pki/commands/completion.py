"""`pki completion`: shtab turns the parser into a script, with files and folders completed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

import shtab

from pki.arguments import Parser, subcommands
from pki.parser import build_parser
from pki.world import World

_PLACES: Final = {
    "FILE": shtab.FILE,
    "PATH": shtab.FILE,
    "SERIAL": shtab.FILE,
    "DIR": shtab.DIRECTORY,
    "FOLDER": shtab.DIRECTORY,
}


def completion(args: argparse.Namespace, world: World) -> int:
    """The script, on standard output."""
    parser = build_parser()
    for action in _actions(parser):
        if action.metavar in _PLACES:
            action.complete = _PLACES[action.metavar]  # type: ignore[attr-defined]  # shtab's hook
    world.print(shtab.complete(parser, shell=args.shell))
    return 0


def _actions(parser: Parser) -> Iterator[argparse.Action]:
    yield from parser._actions  # noqa: SLF001  # argparse does not offer them otherwise
    for command in subcommands(parser).values():
        yield from _actions(command)
