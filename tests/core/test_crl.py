"""The CRL reader against hand-made lists: what is not complete and plain is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from sidecar.core.crl import MAX_CRL_BYTES, Crl
from sidecar.core.x509 import MalformedCertificateError
from tests import der

ECDSA = der.sequence(der.oid("1.2.840.10045.4.3.2"))
JANUARY, FEBRUARY = der.tlv(0x17, b"260101000000Z"), der.tlv(0x17, b"260201000000Z")
ISSUER = der.sequence(der.set_of(der.sequence(der.oid("2.5.4.3"), der.tlv(0x0C, "Zoë".encode()))))


def entry(serial: int, *rest: bytes) -> bytes:
    return der.sequence(der.integer(serial), JANUARY, *rest)


@dataclass(frozen=True)
class Parts:
    """The fields of a list, as DER, good unless replaced."""

    version: bytes = der.integer(1)
    inner_algorithm: bytes = ECDSA
    issuer: bytes = ISSUER
    this_update: bytes = JANUARY
    next_update: bytes = FEBRUARY
    entries: bytes = der.sequence(entry(7), entry(8))
    extensions: bytes = der.tlv(0xA0, der.sequence(der.extension("2.5.29.20", der.integer(1))))
    outer_algorithm: bytes = ECDSA
    signature: bytes = der.bit_string(b"signature")
    behind: bytes = b""

    def encode(self) -> bytes:
        tbs = der.sequence(
            self.version, self.inner_algorithm, self.issuer, self.this_update, self.next_update,
            self.entries, self.extensions,
        )  # fmt: skip
        return der.sequence(tbs, self.outer_algorithm, self.signature, self.behind)


GOOD = Parts()
REASON = der.sequence(der.extension("2.5.29.21", der.tlv(0x0A, b"\x01")))
INDIRECT = der.sequence(der.extension("2.5.29.29", der.sequence(), critical=True))
DELTA = der.tlv(0xA0, der.sequence(der.extension("2.5.29.27", der.integer(1), critical=True)))


def test_the_good_one_is_read() -> None:
    crl = Crl.parse(GOOD.encode())
    assert (crl.issuer, crl.issuer_text) == (ISSUER, r"CN=Zo\C3\AB")
    assert (crl.this_update, crl.next_update) == (1767225600, 1769904000)
    assert crl.serials == {7, 8}


@pytest.mark.parametrize(
    "parts",
    [
        replace(GOOD, entries=b""),
        replace(GOOD, entries=b"", extensions=b""),
        replace(GOOD, entries=der.sequence(entry(7, REASON)), extensions=b""),
    ],
)
def test_what_may_be_missing_may_be_missing(parts: Parts) -> None:
    assert Crl.parse(parts.encode()).serials <= {7}


FLAWS = {
    "version 1": replace(GOOD, version=b""),
    "version 3": replace(GOOD, version=der.integer(2)),
    "no next update": replace(GOOD, next_update=b""),
    "times cut": replace(GOOD, next_update=b"", entries=b"", extensions=b""),
    "algorithms differ": replace(GOOD, outer_algorithm=der.sequence(der.oid("1.3.101.112"))),
    "issuer no name": replace(GOOD, issuer=der.sequence(der.NULL)),
    "empty list": replace(GOOD, entries=der.sequence()),
    "entry without time": replace(GOOD, entries=der.sequence(der.sequence(der.integer(7)))),
    "entry with a number for time": replace(
        GOOD, entries=der.sequence(der.sequence(der.integer(7), der.integer(7)))
    ),
    "entry of four": replace(GOOD, entries=der.sequence(entry(7, REASON, REASON))),
    "serial negative": replace(
        GOOD, entries=der.sequence(der.sequence(der.tlv(0x02, b"\xff"), JANUARY))
    ),
    "indirect": replace(GOOD, entries=der.sequence(entry(7, INDIRECT))),
    "delta": replace(GOOD, extensions=DELTA),
    "set of entries": replace(GOOD, entries=der.set_of(entry(7))),
    "set of extensions in an entry": replace(
        GOOD, entries=der.sequence(entry(7, der.set_of(der.extension("2.5.29.21", b""))))
    ),
    "two lists": replace(GOOD, entries=GOOD.entries * 2),
    "two blocks of extensions": replace(GOOD, extensions=GOOD.extensions * 2),
    "signature of odd bits": replace(GOOD, signature=der.bit_string(b"\x80", 1)),
    "fourth field": replace(GOOD, behind=der.NULL),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_malformed_or_partial_list_is_refused(flaw: str) -> None:
    """Threat class 15: a list that cannot be read whole decides nothing."""
    with pytest.raises(MalformedCertificateError):
        Crl.parse(FLAWS[flaw].encode())


def test_bytes_around_a_list_are_refused() -> None:
    data = GOOD.encode()
    for bad in (data + b"\x00", data[:-1], b""):
        with pytest.raises(MalformedCertificateError):
            Crl.parse(bad)


def test_size_is_bounded() -> None:
    """Threat class 15, huge lists: the size is looked at before anything else."""
    with pytest.raises(MalformedCertificateError, match="too many for a CRL"):
        Crl.parse(bytes(MAX_CRL_BYTES + 1))
    with pytest.raises(MalformedCertificateError, match="expected one element"):
        Crl.parse(b"\x04\x84" + (MAX_CRL_BYTES - 6).to_bytes(4, "big") + bytes(MAX_CRL_BYTES - 6))


def test_repr_does_not_show_a_million_serials() -> None:
    assert "serials" not in repr(Crl.parse(GOOD.encode()))
