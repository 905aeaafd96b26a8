"""Handing a certificate over: decided and checked before it is issued, done right after.

A certificate that is issued and cannot be written is a record without an owner, so whatever can
go wrong with the place is looked for first: a missing name, a folder where a file should be, no
permission. What is left is a disk that fails in between; the error then names the serial.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path

from pki import output, passphrase
from pki.arguments import UsageError
from pki.commands import entries
from pki.errors import PkiError
from pki.files import SECRET_MODE, write_file, write_folder
from pki.issued import Issued
from pki.read import STDIN, InputError, reason
from pki.text import printable, span, timestamp
from pki.world import World

STDOUT = STDIN


@dataclass(frozen=True, slots=True)
class Sink:
    """Where an issued certificate goes.

    `secret` and `p12` (the passphrase) are set for those two formats; `key` is the `tls.key` that
    stays in the folder when the certificate is for a key that was there before.
    """

    path: str
    secret: output.SecretName | None = None
    p12: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)

    def text(self, issued: Issued) -> str:
        """What is printed instead of written: the manifest, key and all, or the chain alone."""
        if self.secret is not None:
            return output.k8s_secret(issued, self.secret).decode()
        return issued.chain_pem.decode()

    def put(self, issued: Issued) -> list[str]:
        """Write, and return the paths that were written. Raises `OSError`."""
        path = Path(self.path)
        if self.p12 is not None:
            write_file(path, output.pkcs12_file(issued, self.p12), SECRET_MODE)
        elif self.secret is not None:
            write_file(path, output.k8s_secret(issued, self.secret), SECRET_MODE)
        else:
            files = dict(output.folder(issued))
            if self.key is not None:
                files["tls.key"] = (self.key, SECRET_MODE)
            write_folder(path, files)
            return [str(path / name) for name in sorted(files)]
        return [str(path)]


def sink(args: argparse.Namespace, path: str, world: World) -> Sink:
    """Read the output options and check the place; raise before anything is issued."""
    _check_options(args, path)
    check_place(path, folder=args.format == "folder")
    match args.format:
        case "k8s-secret":
            return Sink(path, secret=output.SecretName(args.name, args.namespace))
        case "p12":
            option = "--p12-passphrase-file"
            secret = passphrase.new("the PKCS#12 file", option, args.p12_passphrase_file, world)
            return Sink(path, p12=secret)
        case _:
            return Sink(path)


def _check_options(args: argparse.Namespace, path: str) -> None:
    kubernetes = args.format == "k8s-secret"
    if kubernetes and args.name is None:
        raise UsageError("a Kubernetes Secret needs a name", "add --name NAME")
    if not kubernetes and (args.name or args.namespace):
        raise UsageError("--name and --namespace belong to --format k8s-secret")
    if args.format != "p12" and args.p12_passphrase_file:
        raise UsageError("--p12-passphrase-file belongs to --format p12")
    if path == STDOUT and not kubernetes:
        raise UsageError(
            f"a {args.format} is not printed", "give --out PATH, or --format k8s-secret"
        )
    if path == STDOUT and args.json:
        raise UsageError("--json and --out - both want standard output")


def check_place(name: str, *, folder: bool) -> None:
    """Raise if nothing can be written there; standard output is always fine."""
    if name == STDOUT:
        return
    path, shown = Path(name), printable(name)
    if path.exists() and path.is_dir() is not folder:
        wanted, there = ("folder", "file") if folder else ("file", "folder")
        raise InputError(f"{shown} is a {there}, but a {wanted} is to be written")
    parent = printable(str(path.parent))
    if not folder and not path.parent.is_dir():
        raise InputError(f"there is no folder {parent}", f"mkdir -p {parent}")
    nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not (nearest.is_dir() or nearest == path):
        raise InputError(f"{printable(str(nearest))} is a file, so nothing can be below it")
    if not os.access(nearest, os.W_OK):
        raise InputError(f"nothing can be written to {printable(str(nearest))}: no permission")


def deliver(issued: Issued, target: Sink, args: argparse.Namespace, world: World) -> int:
    """Write what was issued, and say so."""
    if target.path == STDOUT:
        world.out.write(target.text(issued))
        world.note(*_words(issued))
        return 0
    try:
        written = target.put(issued)
    except OSError as error:
        serial, place = issued.entry.serial, printable(target.path)
        raise PkiError(
            f"{serial} is issued and recorded, but cannot be written to {place}: {reason(error)}",
            f"`pki revoke --dir {args.dir} {serial}`, make room, and issue again",
        ) from error
    if args.json:
        world.print_json(entries.as_json(issued.entry) | {"files": written})
    else:
        world.print(*_words(issued), *(f"  wrote    {printable(path)}" for path in written))
    return 0


def _words(issued: Issued) -> list[str]:
    entry = issued.entry
    left = span(entry.not_after - entry.issued_at)
    return [
        f"issued {entry.spiffe_id}",
        f"  serial   {entry.serial}",
        f"  expires  {timestamp(entry.not_after)}, in {left}",
    ]
