"""A place in the chain, and what a proxy needs to be told to stand in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Side = Literal["outbound", "inbound"]
Protocol = Literal["http", "tcp"]  # parsed requests, or opaque bytes

TRUST_DOMAIN: Final = "bench.local"
MANY: Final = 1_000_000_000  # for peers that end a kept-alive connection after some requests


def spiffe_id(side: Side) -> str:
    """The identity of the proxy on that side."""
    return f"spiffe://{TRUST_DOMAIN}/ns/bench/sa/{side}"


def dns_name(side: Side) -> str:
    """Its other name, for peers that cannot match URI names."""
    return f"{side}.{TRUST_DOMAIN}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one proxy stands: outbound is plain in and mTLS out, inbound the other way round.

    Ports are on 127.0.0.1: it listens on `listen`, passes on to `target`, and may use `admin` and
    `spare`. `identity` holds tls.crt, tls.key and ca.crt; configuration and logs go to `folder`.
    """

    side: Side
    protocol: Protocol
    listen: int
    target: int
    admin: int
    spare: int
    identity: Path
    folder: Path

    @property
    def partner(self) -> Side:
        """The proxy at the other end of the mTLS connection."""
        return "inbound" if self.side == "outbound" else "outbound"

    @property
    def certificate(self) -> Path:
        """The leaf and its intermediate."""
        return self.identity / "tls.crt"

    @property
    def key(self) -> Path:
        """The private key of the leaf."""
        return self.identity / "tls.key"

    @property
    def trust(self) -> Path:
        """The root that both sides trust."""
        return self.identity / "ca.crt"

    def write(self, name: str, text: str) -> Path:
        """Put a file for the proxy into its folder, for its eyes only."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path


@dataclass(frozen=True, slots=True)
class Peer:
    """One kind of proxy.

    `find` returns the program, or None if there is none that speaks the protocol; `missing` is
    the sentence for that case. `command` writes
    the configuration of a place and returns the argument list (without the program) that runs
    it in the foreground; `version` are the arguments that make the program say its own.
    """

    name: str
    find: Callable[[Protocol], str | None]
    missing: str
    version: tuple[str, ...]
    command: Callable[[Place], list[str]]
