"""The values that pass between the handshake and the dial."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from pki.names import SpiffeID
from sidecar.core.ids import Denial, Peer, Permit, RefusedError
from sidecar.core.reasons import BAD_PATH, DENIED, UNKNOWN_PEER

PEER = Peer(
    spiffe_id=SpiffeID.parse("spiffe://demo.local/ns/shop/sa/web"),
    fingerprint="ab" * 32,
    not_before=0.0,
    not_after=60.0,
    serial=1,
    subject="",
    dns=("web",),
)


@pytest.mark.parametrize(
    ("value", "field"),
    [(PEER, "spiffe_id"), (Permit("r"), "rule"), (Denial(DENIED, "r"), "reason")],
)
def test_what_was_decided_stays_decided(value: object, field: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, field, None)
    assert not hasattr(value, "__dict__")  # nothing can be pinned to it either


def test_a_permit_is_no_denial_whatever_rule_it_names() -> None:
    assert Permit("r") == Permit("r")
    assert Permit("r") != Permit("s")
    assert Denial(DENIED, "r") != Denial(UNKNOWN_PEER, "r")
    permit: Permit | Denial = Permit("r")
    assert permit != Denial(DENIED, "r")


def test_a_refusal_says_its_code_and_what_it_saw() -> None:
    refusal = RefusedError(BAD_PATH, "the path has a dot segment")
    assert (refusal.reason, refusal.detail) == (BAD_PATH, "the path has a dot segment")
    assert str(refusal) == f"MTLS-E305 {BAD_PATH.title}: the path has a dot segment"


def test_a_refusal_without_detail_ends_with_its_title() -> None:
    refusal = RefusedError(BAD_PATH)
    assert refusal.detail == ""
    assert str(refusal) == f"MTLS-E305 {BAD_PATH.title}"
