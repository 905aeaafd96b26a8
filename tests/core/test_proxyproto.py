"""The PROXY protocol header, read back by a reader that was written from the specification."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.proxyproto import LOCAL, Endpoint, TlsFacts, header

WEB = "spiffe://demo.local/ns/shop/sa/web"
FACTS = TlsFacts(WEB, "TLSv1.3", "TLS_AES_128_GCM_SHA256")
CLIENT, SERVER = ("192.0.2.1", 51000), ("192.0.2.2", 9443)


@dataclass(frozen=True)
class Read:
    command: int
    family: int
    addresses: bytes
    tlvs: dict[int, bytes]

    @property
    def ssl(self) -> tuple[int, int, dict[int, bytes]]:
        value = self.tlvs[0x20]
        client, verify = struct.unpack("!BI", value[:5])
        return client, verify, read_tlvs(value[5:])


def read(data: bytes) -> Read:
    """Section 2.2: signature, version and command, family, length, addresses, TLVs."""
    assert data[:12] == bytes.fromhex("0d0a0d0a000d0a515549540a")
    version_command, family, length = struct.unpack("!BBH", data[12:16])
    assert version_command >> 4 == 2
    assert len(data) == 16 + length
    size = {0x00: 0, 0x11: 12, 0x21: 36}[family]
    return Read(version_command & 0xF, family, data[16 : 16 + size], read_tlvs(data[16 + size :]))


def read_tlvs(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while data:
        kind, length = struct.unpack("!BH", data[:3])
        assert len(data) >= 3 + length
        assert kind not in found
        found[kind], data = data[3 : 3 + length], data[3 + length :]
    return found


def test_ipv4() -> None:
    seen = read(header(CLIENT, SERVER, FACTS))
    assert (seen.command, seen.family) == (1, 0x11)
    assert seen.addresses == bytes([192, 0, 2, 1, 192, 0, 2, 2]) + struct.pack("!HH", 51000, 9443)


def test_ipv6() -> None:
    seen = read(header(("2001:db8::1", 51000), ("2001:db8::2", 9443), FACTS))
    assert (seen.command, seen.family) == (1, 0x21)
    packed = ip_address("2001:db8::1").packed + ip_address("2001:db8::2").packed
    assert seen.addresses == packed + struct.pack("!HH", 51000, 9443)


@pytest.mark.parametrize(
    ("source", "target", "family", "packed"),
    [
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", 0x11, "c0000201c0000202"),
        ("::ffff:192.0.2.1", "192.0.2.2", 0x11, "c0000201c0000202"),
        ("192.0.2.1", "::1", 0x21, "00000000000000000000ffffc0000201" + "0" * 31 + "1"),
        ("fe80::1%eth0", "fe80::2", 0x21, "fe80" + "0" * 27 + "1fe80" + "0" * 27 + "2"),
    ],
)
def test_addresses_of_dual_stack_sockets(
    source: str, target: str, family: int, packed: str
) -> None:
    seen = read(header((source, 1), (target, 65535), FACTS))
    assert seen.family == family
    assert seen.addresses.hex() == packed + "0001ffff"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (None, SERVER),
        (CLIENT, None),
        (None, None),
        (("/run/app.sock", 0), SERVER),
        (CLIENT, ("/run/app.sock", 0)),
        (("", 0), SERVER),
    ],
)
def test_other_families_are_unspecified_but_keep_the_identity(
    source: Endpoint | None, target: Endpoint | None
) -> None:
    seen = read(header(source, target, FACTS))
    assert (seen.command, seen.family, seen.addresses) == (1, 0, b"")
    assert seen.tlvs[0xE0] == WEB.encode()


def test_local_names_nobody() -> None:
    seen = read(LOCAL)
    assert (seen.command, seen.family, seen.addresses, seen.tlvs) == (0, 0, b"", {})


def test_all_facts() -> None:
    facts = TlsFacts(
        WEB, "TLSv1.3", "TLS_AES_128_GCM_SHA256", alpn="redis", server_name="orders.shop",
        common_name="Zoë", client_der=b"\x30\x00",
    )  # fmt: skip
    seen = read(header(CLIENT, SERVER, facts))
    assert set(seen.tlvs) == {0x01, 0x02, 0x20, 0xE0}
    assert (seen.tlvs[0x01], seen.tlvs[0x02]) == (b"redis", b"orders.shop")
    assert seen.tlvs[0xE0] == WEB.encode()
    assert seen.ssl == (
        0x07,
        0,
        {
            0x21: b"TLSv1.3",
            0x22: "Zoë".encode(),
            0x23: b"TLS_AES_128_GCM_SHA256",
            0x28: b"\x30\x00",
        },
    )


def test_what_is_not_known_is_left_out() -> None:
    seen = read(header(CLIENT, SERVER, FACTS))
    assert set(seen.tlvs) == {0x20, 0xE0}
    assert set(seen.ssl[2]) == {0x21, 0x23}


def test_resumed_session_had_its_certificate_earlier() -> None:
    resumed = TlsFacts(WEB, "TLSv1.3", "TLS_AES_128_GCM_SHA256", resumed=True)
    assert read(header(CLIENT, SERVER, resumed)).ssl[:2] == (0x05, 0)


def test_length_is_bounded() -> None:
    used = len(header(CLIENT, SERVER, TlsFacts("", "", "", client_der=b"x"))) - 16 - 1
    fits = TlsFacts("", "", "", client_der=bytes(65535 - used))
    assert len(read(header(CLIENT, SERVER, fits)).ssl[2][0x28]) == 65535 - used
    with pytest.raises(ValueError, match="do not fit"):
        header(CLIENT, SERVER, TlsFacts("", "", "", client_der=bytes(65536 - used)))


TEXT = st.text(max_size=40)
PORT = st.integers(0, 65535)
END = st.tuples(st.ip_addresses().map(str), PORT)


@given(
    END, END, st.builds(TlsFacts, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, st.booleans(), st.binary())
)
def test_what_is_written_is_read(source: Endpoint, target: Endpoint, facts: TlsFacts) -> None:
    seen = read(header(source, target, facts))
    ports = struct.pack("!HH", source[1], target[1])
    assert seen.addresses[-4:] == ports
    client, verify, inner = seen.ssl
    assert (client & 0x05, verify) == (0x05, 0)
    flat = {**seen.tlvs, **inner}
    assert [flat.get(kind, b"") for kind in (0xE0, 0x21, 0x23, 0x01, 0x02, 0x22)] == [
        text.encode()
        for text in (
            facts.spiffe_id, facts.version, facts.cipher, facts.alpn, facts.server_name,
            facts.common_name,
        )
    ]  # fmt: skip
    assert flat.get(0x28, b"") == facts.client_der
