"""`pki issue`, `sign`, `renew`, `revoke`: certificates come and go."""

from __future__ import annotations

import argparse
from pathlib import Path

from pki import fields, passphrase
from pki.arguments import UsageError
from pki.authority import Authority
from pki.commands import entries
from pki.commands.delivery import STDOUT, Sink, check_place, deliver, sink
from pki.csr import MAX_CSR_BYTES, read_csr
from pki.errors import RequestError
from pki.keys import KeyType, PublicKey, load_private_key
from pki.lint import Role
from pki.profile import Request
from pki.read import read_bytes, read_certificates
from pki.text import printable
from pki.world import World


def issue(args: argparse.Namespace, world: World) -> int:
    """A certificate with a new key."""
    target = sink(args, args.out, world)
    with opened(args, world) as authority:
        issued = authority.issue(_request(args), world.now(), KeyType(args.key_type))
    return deliver(issued, target, args, world)


def renew(args: argparse.Namespace, world: World) -> int:
    """The names of an earlier certificate, again; into the same folder unless told otherwise."""
    folder = args.which if Path(args.which).is_dir() else None
    path = args.out or folder
    if path is None:
        raise UsageError("where should the renewed certificate go?", "add --out PATH")
    target = sink(args, path, world)
    kind = KeyType(args.key_type) if args.key_type else None
    with opened(args, world) as authority:
        issued = authority.renew(serial_of(args.which), world.now(), ttl=args.ttl, key=kind)
    return deliver(issued, target, args, world)


def sign(args: argparse.Namespace, world: World) -> int:
    """A certificate for somebody else's key."""
    if args.out == STDOUT and args.json:
        raise UsageError("--json and --out - both want standard output", "add --out FOLDER")
    check_place(args.out, folder=True)
    csr, request = read_bytes(args.csr, world.stdin, limit=MAX_CSR_BYTES), _request(args)
    target = Sink(args.out, key=_key_in(args.out, read_csr(csr, request)))
    with opened(args, world) as authority:
        issued = authority.sign_csr(csr, request, world.now())
    return deliver(issued, target, args, world)


def revoke(args: argparse.Namespace, world: World) -> int:
    """A certificate is no longer to be trusted."""
    serial = serial_of(args.which)
    with Authority.open(Path(args.dir)) as authority:
        leaf = authority.find(serial).role is Role.LEAF
    # Only for a CA's certificate are keys needed: without the root's, no CRL could name it.
    with Authority.open(Path(args.dir)) if leaf else opened(args, world) as authority:
        entry = authority.revoke(serial, world.now(), args.reason)
    if args.json:
        world.print_json(entries.as_json(entry))
    else:
        world.print(f"revoked {entry.serial}  {entry.spiffe_id}  ({entry.reason})")
        world.note("hint: peers learn it from the next CRL", f"hint: {_crl_command(args.dir)}")
    return 0


def opened(args: argparse.Namespace, world: World) -> Authority:
    """The CA of `--dir`, with the passphrase of its keys if they need one."""
    directory = Path(args.dir)
    secret = passphrase.of_authority(directory, args.passphrase_file, world)
    return Authority.open(directory, secret)


def serial_of(which: str) -> str:
    """A serial number, typed or taken from a certificate file or an identity folder."""
    path = Path(which)
    if path.is_dir():
        path = path / "tls.crt"
    if not path.is_file():
        return which
    return fields.serial_text(fields.serial_number(read_certificates(str(path))[0]))


def _request(args: argparse.Namespace) -> Request:
    return Request(args.spiffe_id, tuple(args.dns), tuple(args.ip), args.ttl)


def _key_in(folder: str, wanted: PublicKey) -> bytes | None:
    """The `tls.key` of a folder if it is the request's; another one must not be overwritten."""
    path = Path(folder) / "tls.key"
    if folder == STDOUT or not path.exists():
        return None
    pem = read_bytes(str(path))
    if load_private_key(pem, None, printable(str(path))).public_key() != wanted:
        raise RequestError(
            f"{printable(str(path))} is not the key of this request",
            "make the request with that key, or give another folder",
        )
    return pem


def _crl_command(directory: str) -> str:
    return f"pki crl --dir {printable(directory)} --out crl.pem"
