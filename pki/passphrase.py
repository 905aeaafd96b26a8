"""Passphrases come from a file or from a keyboard: never from an argument or the environment.

Both would show them to everybody who may list processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pki.authority import needs_passphrase
from pki.errors import PassphraseError
from pki.read import read_bytes
from pki.text import printable
from pki.world import World

MAX_BYTES: Final = 4096


def of_authority(directory: Path, file: str | None, world: World) -> bytes | None:
    """The passphrase that opens the CA's keys, or None if they are not encrypted."""
    if file is not None:
        return from_file(file)
    if not needs_passphrase(directory):
        return None
    if world.ask is None:
        raise PassphraseError(
            f"the CA keys in {printable(str(directory))} are encrypted, and nobody can be asked",
            "give the passphrase with --passphrase-file FILE",
        )
    return world.ask(f"passphrase of the CA in {printable(str(directory))}: ").encode()


def new(what: str, option: str, file: str | None, world: World) -> bytes:
    """A passphrase for something that is about to be encrypted; typed ones are asked for twice."""
    if file is not None:
        return from_file(file)
    if world.ask is None:
        raise PassphraseError(
            f"{what} needs a passphrase, and nobody can be asked", f"give one with {option} FILE"
        )
    typed = world.ask(f"new passphrase for {what}: ")
    if not typed:
        raise PassphraseError("the passphrase is empty")
    if world.ask("the same again: ") != typed:
        raise PassphraseError("the two passphrases differ")
    return typed.encode()


def from_file(name: str) -> bytes:
    """The first line of a file, without its line end."""
    line = read_bytes(name, limit=MAX_BYTES).partition(b"\n")[0].removesuffix(b"\r")
    if not line:
        raise PassphraseError(f"the first line of {printable(name)} is empty")
    return line
