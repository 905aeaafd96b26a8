"""The certificate reader against hand-made certificates: each flaw alone, beside the good one."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace

import pytest

from sidecar.core import extensions
from sidecar.core.extensions import SubjectNames
from sidecar.core.pem import pem_blocks
from sidecar.core.x509 import (
    MAX_CERTIFICATE_BYTES,
    Certificate,
    MalformedCertificateError,
    PublicKey,
)
from tests import der
from tests.certs import TestCA

ECDSA = der.sequence(der.oid("1.2.840.10045.4.3.2"))
P256 = der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.3.1.7"))
URI = b"spiffe://demo.local/ns/shop/sa/web"
SAN = der.extension("2.5.29.17", der.sequence(der.tlv(0x86, URI)), critical=True)
USAGE = der.extension("2.5.29.15", der.bit_string(b"\x80", 7), critical=True)


@dataclass(frozen=True)
class Parts:
    """The fields of a certificate, as DER, good unless replaced."""

    version: bytes = der.tlv(0xA0, der.integer(2))
    serial: bytes = der.integer(0x1234)
    inner_algorithm: bytes = ECDSA
    issuer: bytes = der.sequence()
    validity: bytes = der.sequence(
        der.tlv(0x17, b"260101000000Z"), der.tlv(0x18, b"20510101000000Z")
    )
    subject: bytes = der.sequence()
    key: bytes = der.sequence(P256, der.bit_string(b"\x04" + bytes(64)))
    between: bytes = b""
    extensions: bytes = der.tlv(0xA3, der.sequence(SAN, USAGE))
    outer_algorithm: bytes = ECDSA
    signature: bytes = der.bit_string(b"signature")
    behind: bytes = b""

    def encode(self) -> bytes:
        tbs = der.sequence(
            self.version, self.serial, self.inner_algorithm, self.issuer, self.validity,
            self.subject, self.key, self.between, self.extensions,
        )  # fmt: skip
        return der.sequence(tbs, self.outer_algorithm, self.signature, self.behind)


GOOD = Parts()


def with_extensions(*found: bytes) -> Parts:
    return replace(GOOD, extensions=der.tlv(0xA3, der.sequence(*found)))


def name(kind: str, tag: int, text: bytes) -> bytes:
    return der.sequence(der.set_of(der.sequence(der.oid(kind), der.tlv(tag, text))))


def test_the_good_one_is_read() -> None:
    data = GOOD.encode()
    cert = Certificate.parse(data)
    assert cert.der == data
    assert cert.serial == 0x1234
    assert (cert.issuer, cert.issuer_text) == (b"\x30\x00", "")
    assert (cert.subject, cert.subject_text) == (b"\x30\x00", "")
    assert (cert.not_before, cert.not_after) == (1767225600, 2556144000)
    assert cert.public_key == PublicKey("ec", 256, "P-256")
    assert cert.signature_algorithm == "ecdsa-sha256"
    assert cert.extensions.names == SubjectNames(uris=(URI.decode(),))
    assert cert.extensions.key_usage == extensions.DIGITAL_SIGNATURE
    assert cert.extensions.critical == {"2.5.29.17", "2.5.29.15"}
    assert cert.extensions.extended_key_usage is None
    assert not cert.extensions.is_ca
    assert cert.extensions.subject_key_id == cert.extensions.authority_key_id == b""


FLAWS = {
    "version 1": replace(GOOD, version=b"", extensions=b""),
    "version 2": replace(GOOD, version=der.tlv(0xA0, der.integer(1))),
    "version 4": replace(GOOD, version=der.tlv(0xA0, der.integer(3))),
    "version padded": replace(GOOD, version=der.tlv(0xA0, b"\x02\x02\x00\x02")),
    "serial zero": replace(GOOD, serial=der.integer(0)),
    "serial negative": replace(GOOD, serial=der.tlv(0x02, b"\xff")),
    "serial padded": replace(GOOD, serial=der.tlv(0x02, b"\x00\x01")),
    "serial of 21 octets": replace(GOOD, serial=der.integer(2**160)),
    "algorithms differ": replace(GOOD, outer_algorithm=der.sequence(der.oid("1.3.101.112"))),
    "algorithm empty": replace(GOOD, inner_algorithm=b"\x30\x00", outer_algorithm=b"\x30\x00"),
    "one time": replace(GOOD, validity=der.sequence(der.tlv(0x17, b"260101000000Z"))),
    "three times": replace(GOOD, validity=der.sequence(*[der.tlv(0x17, b"260101000000Z")] * 3)),
    "issuer no name": replace(GOOD, issuer=der.sequence(der.NULL)),
    "subject no text": replace(GOOD, subject=name("2.5.4.3", 0x0C, b"\xff")),
    "subject huge": replace(GOOD, subject=name("2.5.4.3", 0x0C, b"a" * 4097)),
    "key without algorithm": replace(GOOD, key=der.sequence(der.bit_string(b"k"))),
    "key with odd bits": replace(GOOD, key=der.sequence(P256, der.bit_string(b"\x80", 1))),
    "unique identifier": replace(GOOD, between=der.tlv(0x81, b"\x00\x01")),
    "no extensions": replace(GOOD, extensions=b""),
    "empty extensions": with_extensions(),
    "two blocks of extensions": replace(GOOD, extensions=GOOD.extensions * 2),
    "signature of odd bits": replace(GOOD, signature=der.bit_string(b"\x80", 1)),
    "signature empty": replace(GOOD, signature=der.tlv(0x03, b"")),
    "fourth field": replace(GOOD, behind=der.NULL),
    "extension without value": with_extensions(der.sequence(der.oid("2.5.29.17"))),
    "extension with a fourth field": with_extensions(
        der.sequence(der.oid("2.5.29.17"), der.boolean(True), der.octet_string(b""), der.NULL)
    ),
    "extension with two values": with_extensions(
        der.sequence(der.oid("1.2.3"), der.boolean(True), *[der.octet_string(b"")] * 2)
    ),
    "extension with a value of another type": with_extensions(
        der.sequence(der.oid("1.2.3"), der.bit_string(b""))
    ),
    "extension not critical in so many words": with_extensions(
        SAN, der.sequence(der.oid("1.2.3"), der.boolean(False), der.octet_string(b""))
    ),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_malformed_certificate_is_refused(flaw: str) -> None:
    """Threat class 14: nothing but the one error comes out of a malformed certificate."""
    with pytest.raises(MalformedCertificateError):
        Certificate.parse(FLAWS[flaw].encode())


def test_bytes_around_a_certificate_are_refused() -> None:
    data = GOOD.encode()
    empty = der.sequence(der.sequence(), ECDSA, GOOD.signature)
    for bad in (data + b"\x00", data + data, data[:-1], data[1:], b"\x00" + data, b"", empty):
        with pytest.raises(MalformedCertificateError):
            Certificate.parse(bad)


def test_size_is_bounded() -> None:
    room = MAX_CERTIFICATE_BYTES - len(with_extensions(SAN, filler(1000)).encode()) + 1000
    largest = with_extensions(SAN, filler(room)).encode()
    assert len(largest) == MAX_CERTIFICATE_BYTES
    assert Certificate.parse(largest).serial == 0x1234
    with pytest.raises(MalformedCertificateError, match="too many"):
        Certificate.parse(with_extensions(SAN, filler(room + 1)).encode())


def filler(size: int) -> bytes:
    return der.extension("1.2.3", bytes(size))


@pytest.mark.parametrize("serial", [1, 2**159 - 1])
def test_serials_at_the_edge(serial: int) -> None:
    assert Certificate.parse(replace(GOOD, serial=der.integer(serial)).encode()).serial == serial


# --- extensions ---


def test_number_of_extensions_is_bounded() -> None:
    many = [der.extension(f"1.2.3.{n}", b"") for n in range(extensions.MAX_EXTENSIONS + 1)]
    assert Certificate.parse(with_extensions(*many[1:]).encode()).serial == 0x1234
    with pytest.raises(MalformedCertificateError, match="too many"):
        Certificate.parse(with_extensions(*many).encode())


@pytest.mark.parametrize("twice", [SAN, USAGE, der.extension("1.2.3", b"")])
def test_extension_that_stands_twice_is_refused(twice: bytes) -> None:
    once = {SAN, USAGE, twice}
    assert Certificate.parse(with_extensions(*once).encode()).serial == 0x1234
    with pytest.raises(MalformedCertificateError, match="twice"):
        Certificate.parse(with_extensions(*once, twice).encode())


def test_unknown_extensions_are_noted_by_criticality() -> None:
    data = with_extensions(
        SAN, der.extension("1.2.3", b"x"), der.extension("1.2.4", b"y", critical=True)
    )
    assert Certificate.parse(data.encode()).extensions.critical == {"2.5.29.17", "1.2.4"}


KNOWN = {
    "names empty": ("2.5.29.17", der.sequence()),
    "names not a list": ("2.5.29.17", der.tlv(0x86, URI)),
    "names behind the list": ("2.5.29.17", der.sequence(der.tlv(0x86, URI)) + der.NULL),
    "name of a universal type": ("2.5.29.17", der.sequence(der.NULL)),
    "name of type 9": ("2.5.29.17", der.sequence(der.tlv(0x89, b"x"))),
    "URI constructed": ("2.5.29.17", der.sequence(der.tlv(0xA6, der.tlv(0x16, URI)))),
    "URI not ASCII": ("2.5.29.17", der.sequence(der.tlv(0x86, "spiffe://ä/b".encode()))),
    "DNS name not ASCII": ("2.5.29.17", der.sequence(der.tlv(0x82, b"\xff"))),
    "IP of five bytes": ("2.5.29.17", der.sequence(der.tlv(0x87, bytes(5)))),
    "IP empty": ("2.5.29.17", der.sequence(der.tlv(0x87, b""))),
    "usage empty": ("2.5.29.15", der.bit_string(b"")),
    "usage an integer": ("2.5.29.15", der.integer(1)),
    "purposes empty": ("2.5.29.37", der.sequence()),
    "purpose not an OID": ("2.5.29.37", der.sequence(der.integer(1))),
    "CA FALSE in so many words": ("2.5.29.19", der.sequence(der.boolean(False))),
    "CA TRUE as 1": ("2.5.29.19", der.sequence(b"\x01\x01\x01")),
    "path length without CA": ("2.5.29.19", der.sequence(der.integer(0))),
    "path length negative": ("2.5.29.19", der.sequence(der.boolean(True), b"\x02\x01\xff")),
    "constraints of three": (
        "2.5.29.19",
        der.sequence(der.boolean(True), der.integer(1), der.integer(1)),
    ),
    "key identifier bare": ("2.5.29.14", b"\x01\x02"),
    "authority not a list": ("2.5.29.35", der.octet_string(b"x")),
}


@pytest.mark.parametrize("flaw", KNOWN)
def test_malformed_extension_is_refused(flaw: str) -> None:
    with pytest.raises(MalformedCertificateError):
        Certificate.parse(with_extensions(der.extension(*KNOWN[flaw])).encode())


@pytest.mark.parametrize(
    ("value", "identifier"),
    [
        (der.sequence(der.tlv(0x80, b"key")), b"key"),
        (der.sequence(der.tlv(0xA1, b"issuer"), der.tlv(0x82, b"\x01")), b""),
        (der.sequence(), b""),
    ],
)
def test_authority_key_identifier_may_lack_the_key(value: bytes, identifier: bytes) -> None:
    cert = Certificate.parse(with_extensions(der.extension("2.5.29.35", value)).encode())
    assert cert.extensions.authority_key_id == identifier


def test_names_are_split_by_type() -> None:
    """Threat class 5: a name of one type is never taken for one of another."""
    text = b"spiffe://demo.local/admin"
    listed = [
        der.tlv(0xA0, der.oid("1.2.3") + der.tlv(0xA0, der.tlv(0x0C, text))),
        der.tlv(0x81, text),
        der.tlv(0x82, text),
        der.tlv(0xA4, der.sequence()),
        der.tlv(0x86, URI),
        der.tlv(0x87, bytes(4)),
        der.tlv(0x87, bytes(16)),
        der.tlv(0x88, b"\x2a"),
    ]
    found = Certificate.parse(
        with_extensions(der.extension("2.5.29.17", der.sequence(*listed))).encode()
    ).extensions.names
    assert found.uris == (URI.decode(),)
    assert found.dns == (text.decode(),)
    assert found.ips == (bytes(4), bytes(16))
    assert found.others == 4


@pytest.mark.parametrize("inside", [b"\x00", b"\r\n", b'";', b"\x7f"])
def test_control_characters_survive_reading(inside: bytes) -> None:
    """Threat class 6: a name never ends at a NUL; the peer check sees all of it and refuses."""
    uri = URI + inside + b"x"
    cert = Certificate.parse(
        with_extensions(der.extension("2.5.29.17", der.sequence(der.tlv(0x86, uri)))).encode()
    )
    assert cert.extensions.names.uris == (uri.decode(),)


# --- keys and algorithms ---


def key_of(parameters: bytes, value: bytes, oid: str = "1.2.840.113549.1.1.1") -> Parts:
    return replace(
        GOOD, key=der.sequence(der.sequence(der.oid(oid), parameters), der.bit_string(value))
    )


@pytest.mark.parametrize("exponent", [3, 65537])
def test_rsa_modulus_is_measured(exponent: int) -> None:
    key = der.sequence(der.integer(2**2047 + 1), der.integer(exponent))
    assert Certificate.parse(key_of(der.NULL, key).encode()).public_key == PublicKey("rsa", 2048)


@pytest.mark.parametrize("exponent", [0, 1, 2, 65536])
def test_rsa_exponent_that_anybody_can_invert_is_refused(exponent: int) -> None:
    key = der.sequence(der.integer(2**2047 + 1), der.integer(exponent))
    with pytest.raises(MalformedCertificateError, match="exponent"):
        Certificate.parse(key_of(der.NULL, key).encode())


@pytest.mark.parametrize(
    "key",
    [
        b"",
        der.sequence(der.integer(2**2047 + 1)),
        der.sequence(der.integer(2**2047 + 1), der.integer(3)) + b"\x00",
        der.sequence(der.integer(2**16400), der.integer(3)),
    ],
)
def test_malformed_rsa_key_is_refused(key: bytes) -> None:
    with pytest.raises(MalformedCertificateError):
        Certificate.parse(key_of(der.NULL, key).encode())


def test_unknown_keys_and_curves_have_no_bits() -> None:
    curve = key_of(der.oid("1.3.132.0.10"), b"\x04", "1.2.840.10045.2.1")
    explicit = key_of(der.sequence(der.integer(1)), b"\x04", "1.2.840.10045.2.1")
    unknown = key_of(b"", b"k", "1.2.3.4")
    for parts, key in [
        (curve, PublicKey("ec", 0, "?")),
        (explicit, PublicKey("ec", 0, "?")),
        (unknown, PublicKey("1.2.3.4", 0)),
    ]:
        assert Certificate.parse(parts.encode()).public_key == key


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        (der.sequence(der.oid("1.2.840.113549.1.1.11"), der.NULL), "rsa-sha256"),
        (der.sequence(der.oid("1.2.840.113549.1.1.5"), der.NULL), "rsa-sha1"),
        (der.sequence(der.oid("1.2.840.113549.1.1.11")), "1.2.840.113549.1.1.11"),
        (der.sequence(der.oid("1.2.840.10045.4.3.2"), der.NULL), "1.2.840.10045.4.3.2"),
        (der.sequence(der.oid("1.2.840.113549.1.1.10"), b"\x30\x00"), "1.2.840.113549.1.1.10"),
        (der.sequence(der.oid("1.3.101.113")), "ed448"),
    ],
)
def test_algorithm_counts_with_its_parameters(algorithm: bytes, name: str) -> None:
    parts = replace(GOOD, inner_algorithm=algorithm, outer_algorithm=algorithm)
    assert Certificate.parse(parts.encode()).signature_algorithm == name


# --- PEM ---


def test_pem_blocks_of_one_label_are_read_in_order() -> None:
    ca = TestCA()
    leaf = ca.intermediate().leaf()
    noise = b"# a comment\r\n" + leaf.key_pem
    assert pem_blocks(noise + leaf.chain_pem + noise, "CERTIFICATE") == [
        leaf.der,
        leaf.issuer.der,
    ]
    assert pem_blocks(leaf.chain_pem.replace(b"\n", b"\r\n"), "CERTIFICATE")[0] == leaf.der
    assert pem_blocks(leaf.chain_pem, "X509 CRL") == []


BODY = base64.encodebytes(b"x" * 60)
BEGIN, END = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(BEGIN + BODY, id="no end"),
        pytest.param(BEGIN + BODY + BEGIN + BODY + END, id="begin twice"),
        pytest.param(BEGIN + BODY + END + END, id="end twice"),
        pytest.param(END + BEGIN + BODY, id="end first"),
        pytest.param(BEGIN + b"!" + BODY + END, id="not base64"),
        pytest.param(BEGIN + BODY[:-3] + END, id="cut off"),
        pytest.param(BEGIN + b"Proc-Type: 4,ENCRYPTED\n\n" + BODY + END, id="headers"),
        pytest.param(BEGIN + BODY + b"-----END X509 CRL-----\n", id="other end"),
    ],
)
def test_broken_pem_is_refused(bad: bytes) -> None:
    assert pem_blocks(BEGIN + BODY + END, "CERTIFICATE") == [b"x" * 60]
    with pytest.raises(MalformedCertificateError, match="CERTIFICATE block"):
        pem_blocks(bad, "CERTIFICATE")


def test_boundaries_are_whole_lines() -> None:
    """OpenSSL reads the same file and sees no block where a line has something before BEGIN."""
    assert pem_blocks(b"x" + BEGIN + BODY, "CERTIFICATE") == []
    assert pem_blocks(BEGIN.replace(b"\n", b"  \r\n") + BODY + END[:-1], "CERTIFICATE") == [
        b"x" * 60
    ]
