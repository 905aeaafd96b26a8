"""What the tests of the CA share: a clock that stands, keys that are made once, a CA in memory."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from cryptography import x509

from pki import build
from pki.build import Issuer
from pki.keys import KeyType, PrivateKey, generate_key
from pki.names import SpiffeID
from pki.profile import Profile, Request

NOW: Final = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
WEB: Final = SpiffeID.parse("spiffe://demo.local/ns/shop/sa/web")
ORDERS: Final = SpiffeID.parse("spiffe://demo.local/ns/shop/sa/orders")

_numbers = itertools.count(1)


def serial() -> int:
    """Another serial number of the right shape."""
    return build.serial_number(next(_numbers).to_bytes(20, "big"))


@cache
def key(name: str = "leaf", key_type: KeyType = KeyType.P256) -> PrivateKey:
    """A key that is the same for the same name: RSA keys are dear."""
    del name
    return generate_key(key_type)


@dataclass(frozen=True)
class Chain:
    """A CA in memory."""

    profile: Profile
    root: Issuer
    issuer: Issuer

    def leaf(
        self,
        request: Request | None = None,
        now: datetime = NOW,
        leaf_key: PrivateKey | None = None,
    ) -> x509.Certificate:
        public = (leaf_key or key()).public_key()
        wanted = request or Request(WEB)
        return build.leaf(self.issuer, wanted, public, self.profile, now, serial())


@cache
def chain(key_type: KeyType = KeyType.P256, permit_dns: tuple[str, ...] = ()) -> Chain:
    """A root and an intermediate that were made at `NOW`."""
    return make_chain(Profile("demo.local", permit_dns), key_type)


def make_chain(profile: Profile, key_type: KeyType = KeyType.P256, now: datetime = NOW) -> Chain:
    root_key, issuer_key = key("root", key_type), key("issuer", key_type)
    root = Issuer(build.root(root_key, profile, now, serial()), root_key)
    made = build.intermediate(root, issuer_key.public_key(), profile, now, serial())
    return Chain(profile, root, Issuer(made, issuer_key))
