"""`pki crl` and `pki bundle`: what the CA hands out to everybody."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from pki.authority import Authority
from pki.commands.delivery import STDOUT, check_place
from pki.commands.issuing import opened
from pki.files import PUBLIC_MODE, write_file
from pki.world import World


def crl(args: argparse.Namespace, world: World) -> int:
    """The CRLs of all issuers in one PEM file."""
    check_place(args.out, folder=False)
    with opened(args, world) as authority:
        _write(args.out, _pem(authority.crls(world.now())), world)
    return 0


def bundle(args: argparse.Namespace, world: World) -> int:
    """The roots, as PEM or as a SPIFFE bundle document."""
    check_place(args.out, folder=False)
    with Authority.open(Path(args.dir)) as authority:
        if args.format == "pem":
            text = _pem(authority.bundle())
        else:
            text = json.dumps(authority.spiffe_bundle(), indent=2).encode() + b"\n"
    _write(args.out, text, world)
    return 0


def _pem(
    objects: tuple[x509.Certificate, ...] | tuple[x509.CertificateRevocationList, ...],
) -> bytes:
    return b"".join(item.public_bytes(serialization.Encoding.PEM) for item in objects)


def _write(name: str, content: bytes, world: World) -> None:
    if name == STDOUT:
        world.out.write(content.decode())
    else:
        write_file(Path(name), content, PUBLIC_MODE)
