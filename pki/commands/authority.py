"""`pki init` and `pki rotate`: the CA itself."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from pki import passphrase
from pki.authority import Authority
from pki.commands import entries
from pki.commands.issuing import opened
from pki.keys import KeyType
from pki.profile import Profile
from pki.store import Query
from pki.text import printable, timestamp
from pki.world import World


def init(args: argparse.Namespace, world: World) -> int:
    """A new CA, and the command that comes next."""
    profile, secret = _profile(args), _new_passphrase(args, world)
    with Authority.create(
        Path(args.dir),
        profile,
        world.now(),
        key_type=KeyType(args.key_type),
        passphrase=secret,
    ) as authority:
        made = authority.ls(Query()).entries
    if args.json:
        world.print_json({"dir": args.dir, "certificates": [entries.as_json(e) for e in made]})
        return 0
    shown = printable(args.dir)
    world.print(f"made a CA for spiffe://{profile.trust_domain} in {shown}")
    world.print(*(f"  {e.role:12}  until {timestamp(e.not_after)}" for e in reversed(made)))
    world.note(
        f"hint: pki issue --dir {shown} --spiffe-id"
        f" spiffe://{profile.trust_domain}/ns/shop/sa/web --out web"
    )
    return 0


def rotate(args: argparse.Namespace, world: World) -> int:
    """The next intermediate."""
    with opened(args, world) as authority:
        entry = authority.rotate(world.now(), KeyType(args.key_type))
    if args.json:
        world.print_json(entries.as_json(entry))
    else:
        world.print(f"made {entry.role} {entry.serial}, until {timestamp(entry.not_after)}")
    return 0


def _profile(args: argparse.Namespace) -> Profile:
    plain = Profile(args.trust_domain, tuple(args.permit_dns))
    if args.max_ttl is None:
        return plain
    return replace(plain, leaf_ttl=min(plain.leaf_ttl, args.max_ttl), max_leaf_ttl=args.max_ttl)


def _new_passphrase(args: argparse.Namespace, world: World) -> bytes | None:
    if args.passphrase_file is None and not args.passphrase:
        return None
    return passphrase.new("the CA keys", "--passphrase-file", args.passphrase_file, world)
