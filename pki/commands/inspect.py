"""`pki show` and `pki verify`: certificates of any make, described and judged."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pki.arguments import UsageError
from pki.commands.index import FOUND
from pki.errors import PassphraseError
from pki.keys import PublicKey, load_private_key
from pki.read import (
    STDIN,
    InputError,
    read_bytes,
    read_certificates,
    read_crls,
    read_items,
    source_name,
)
from pki.render import render
from pki.show import view
from pki.text import printable
from pki.verify import Purpose, Question
from pki.verify import verify as judge
from pki.verify.report import as_json, as_text
from pki.world import World

PUBLIC_FILES = ("tls.crt", "ca.crt", "crl.pem")


def show(args: argparse.Namespace, world: World) -> int:
    """Everything in the files, one after the other; 1 if anything is malformed."""
    now, views, texts = world.now(), [], []
    for name in _files(args.what):
        items = read_items(name, world.stdin)
        shown = [view(item, now) for item in items]
        views += shown
        texts += [render(one, len(shown)) for one in shown]
    if args.json:
        world.print_json(views)
    else:
        world.out.write("\n".join(texts))
    return 1 if any(one["problems"] for one in views) else 0


def _files(names: list[str]) -> Iterator[str]:
    """The files themselves, and the public ones of each folder."""
    for name in names:
        folder = Path(name)
        if name == STDIN or not folder.is_dir():
            yield name
            continue
        found = [str(folder / file) for file in PUBLIC_FILES if (folder / file).exists()]
        if not found:
            raise InputError(f"{printable(name)} has none of {', '.join(PUBLIC_FILES)}")
        yield from found


def verify(args: argparse.Namespace, world: World) -> int:
    """A verdict on one chain; 3 if anything is wrong with it."""
    question, source = _question(args, world)
    verdict = judge(question)
    if args.json:
        world.print_json(as_json(verdict, source))
    else:
        world.out.write(as_text(verdict, source, question.now))
    return 0 if verdict.ok else FOUND


def _question(args: argparse.Namespace, world: World) -> tuple[Question, str]:
    """What is to be judged, and the name of the file that the chain is in."""
    folder = Path(args.what) if args.what != STDIN and Path(args.what).is_dir() else None
    name = args.what if folder is None else str(folder / "tls.crt")
    roots = args.ca or _beside(folder, "ca.crt")
    if not roots:
        raise UsageError(
            "which roots are to be trusted?",
            "add --ca FILE, such as a ca.crt; `pki bundle --dir DIR --out ca.crt` writes it",
        )
    lists = args.crl or _beside(folder, "crl.pem")
    question = Question(
        chain=read_certificates(name, world.stdin),
        anchors=tuple(root for file in roots for root in read_certificates(file)),
        now=args.at or world.now(),
        crls=tuple(crl for file in lists for crl in read_crls(file)),
        trust_domain=args.trust_domain,
        purpose=Purpose(args.purpose),
        key=_key(folder),
    )
    return question, source_name(name)


def _beside(folder: Path | None, name: str) -> list[str]:
    if folder is None or not (folder / name).exists():
        return []
    return [str(folder / name)]


def _key(folder: Path | None) -> PublicKey | None:
    """The public half of the folder's key; None if there is none or it is encrypted."""
    for name in _beside(folder, "tls.key"):
        try:
            return load_private_key(read_bytes(name), None, printable(name)).public_key()
        except PassphraseError:
            return None
    return None
