"""`pki ls` and `pki log verify`: what was issued, and whether the record of it is whole."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

from pki.authority import Authority
from pki.commands import entries
from pki.errors import RequestError
from pki.lint import Role
from pki.names import SCHEME, InvalidNameError, SpiffePattern
from pki.store import Page, Query
from pki.text import count, printable, table
from pki.world import World

FOUND = 3


def ls(args: argparse.Namespace, world: World) -> int:
    """One page of the index, as a table or as JSON."""
    now = world.now()
    with Authority.open(Path(args.dir)) as authority:
        page = authority.ls(_query(args, authority.profile.trust_domain, now))
    if args.json:
        found = [entries.as_json(entry) for entry in page.entries]
        world.print_json({"certificates": found, "next": page.next})
    else:
        _print(page, now, world)
    return 0


def _query(args: argparse.Namespace, trust_domain: str, now: datetime) -> Query:
    soon = args.expiring is not None
    return Query(
        spiffe=_pattern(args.spiffe, trust_domain) if args.spiffe is not None else None,
        role=Role(args.role) if args.role else None,
        revoked=True if args.revoked else False if soon else None,
        expires_after=now if soon else None,
        expires_before=now + args.expiring if soon else None,
        before=args.before,
        limit=args.limit,
    )


def _pattern(text: str, trust_domain: str) -> SpiffePattern:
    """A pattern as it is, or a path in the CA's own trust domain: `ns/*/sa/web`."""
    if not text.startswith(SCHEME):
        text = f"{SCHEME}{trust_domain}/{text.removeprefix('/')}"
    try:
        return SpiffePattern.parse(text)
    except InvalidNameError as error:
        raise RequestError(str(error), "* is one whole segment, ** any number of them") from error


def _print(page: Page, now: datetime, world: World) -> None:
    if not page.entries:
        world.note("no certificate matches")
        return
    rows = [
        (entry.serial, entry.role, entry.key_type, entries.state(entry, now), entry.spiffe_id)
        for entry in page.entries
    ]
    world.out.write(table([("SERIAL", "ROLE", "KEY", "STATE", "SPIFFE ID"), *rows]))
    if page.next is not None:
        world.note(f"hint: there are more; the next page: add --before {page.next}")


def verify_log(args: argparse.Namespace, world: World) -> int:
    """The log against its chain, the index against the log."""
    with Authority.open(Path(args.dir)) as authority:
        report = authority.verify_log(args.head)
    if args.json:
        damage = [{"seq": d.seq, "message": d.message} for d in report.damage]
        world.print_json(
            {"ok": report.ok, "records": report.records, "head": report.head, "damage": damage}
        )
    elif report.ok:
        world.print(f"{count(report.records, 'record')}, all as written", f"head {report.head}")
    else:
        world.print(*(f"{_place(d.seq)}: {printable(d.message)}" for d in report.damage))
        world.note(
            f"pki: the log is damaged in {count(len(report.damage), 'place')}",
            "hint: keep this copy as evidence, and restore the last good backup of the CA",
        )
    return 0 if report.ok else FOUND


def _place(seq: int) -> str:
    return f"record {seq}" if seq else "the index"
