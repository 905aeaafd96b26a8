"""The PROXY protocol's version 2 header: who is there, for an application that speaks raw TCP.

Written from section 2.2 of HAProxy's "The PROXY protocol" (binary format, its TLVs and the
reserved type ranges). The header is the first thing on the plain connection, sent in one write.

A SPIFFE ID has no place among the registered types: their common name is empty in an SVID. It
goes into `PP2_TYPE_SPIFFE_ID`, 0xE0, the first of the sixteen types that the specification
leaves to applications: the ID's bytes in ASCII, without terminator, at the top level, so that
a reader finds it without looking into the TLS part.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_LOCAL: Final = b"\x20"
_V2_PROXY: Final = b"\x21"
_UNSPEC: Final = b"\x00"
_TCP4: Final = b"\x11"
_TCP6: Final = b"\x21"

PP2_TYPE_ALPN: Final = 0x01
PP2_TYPE_AUTHORITY: Final = 0x02
PP2_TYPE_SSL: Final = 0x20
PP2_SUBTYPE_SSL_VERSION: Final = 0x21
PP2_SUBTYPE_SSL_CN: Final = 0x22
PP2_SUBTYPE_SSL_CIPHER: Final = 0x23
PP2_SUBTYPE_SSL_CLIENT_CERT: Final = 0x28
PP2_TYPE_SPIFFE_ID: Final = 0xE0

_CLIENT_SSL: Final = 0x01
_CLIENT_CERT_CONN: Final = 0x02  # a certificate came over this very connection
_CLIENT_CERT_SESS: Final = 0x04  # or over the session that it resumes
_VERIFIED: Final = bytes(4)

Endpoint = tuple[str, int]

# A connection of the sidecar's own, to see whether the application is there: it relays nobody.
LOCAL: Final = SIGNATURE + _V2_LOCAL + _UNSPEC + bytes(2)


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What the receiver learns of the TLS connection; its peer is always a verified one.

    `version` and `cipher` are OpenSSL's names, empty strings are left out. `client_der` is the
    peer's certificate, for receivers that ask for it: it makes the header longer than a packet.
    """

    spiffe_id: str
    version: str
    cipher: str
    alpn: str = ""
    server_name: str = ""
    common_name: str = ""
    resumed: bool = False
    client_der: bytes = field(default=b"", repr=False)


def header(src: Endpoint | None, dst: Endpoint | None, tls: TlsFacts) -> bytes:
    """The header of a connection from `src` to `dst`, the two ends of the mTLS connection.

    Ends are textual IP addresses with a port. Where either is something else (a UNIX socket, an
    address that is gone), the family is AF_UNSPEC: the TLVs still count, the addresses do not.
    Raises `ValueError` if it all comes to more than 65535 bytes.
    """
    family, addresses = _addresses(src, dst)
    body = addresses + _tlvs(tls)
    return SIGNATURE + _V2_PROXY + family + _length(body) + body


def _addresses(src: Endpoint | None, dst: Endpoint | None) -> tuple[bytes, bytes]:
    """The family octet and the address block."""
    source, target = _end(src), _end(dst)
    if source is None or target is None:
        return _UNSPEC, b""
    (from_ip, from_port), (to_ip, to_port) = source, target
    if isinstance(from_ip, IPv4Address) and isinstance(to_ip, IPv4Address):
        return _TCP4, from_ip.packed + to_ip.packed + from_port + to_port
    return _TCP6, _as_ipv6(from_ip) + _as_ipv6(to_ip) + from_port + to_port


def _end(end: Endpoint | None) -> tuple[IPv4Address | IPv6Address, bytes] | None:
    """Address and port; IPv4 where a dual-stack socket shows it as IPv6, IPv6 without its zone."""
    if end is None:
        return None
    try:
        address = ip_address(end[0].partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address, end[1].to_bytes(2, "big")


def _as_ipv6(address: IPv4Address | IPv6Address) -> bytes:
    """The 16 bytes of the address, IPv4 as RFC 4291 section 2.5.5.2 maps it."""
    return address.packed.rjust(6, b"\xff").rjust(16, b"\x00")


def _tlvs(tls: TlsFacts) -> bytes:
    client = _CLIENT_SSL | _CLIENT_CERT_SESS | (0 if tls.resumed else _CLIENT_CERT_CONN)
    details = (
        _tlv(PP2_SUBTYPE_SSL_VERSION, tls.version.encode())
        + _tlv(PP2_SUBTYPE_SSL_CN, tls.common_name.encode())
        + _tlv(PP2_SUBTYPE_SSL_CIPHER, tls.cipher.encode())
        + _tlv(PP2_SUBTYPE_SSL_CLIENT_CERT, tls.client_der)
    )
    return (
        _tlv(PP2_TYPE_ALPN, tls.alpn.encode())
        + _tlv(PP2_TYPE_AUTHORITY, tls.server_name.encode())
        + _tlv(PP2_TYPE_SSL, bytes([client]) + _VERIFIED + details)
        + _tlv(PP2_TYPE_SPIFFE_ID, tls.spiffe_id.encode())
    )


def _tlv(kind: int, value: bytes) -> bytes:
    """Type, length and value; nothing at all where there is no value."""
    return bytes([kind]) + _length(value) + value if value else b""


def _length(value: bytes) -> bytes:
    if len(value) > 0xFFFF:
        raise ValueError(f"{len(value)} bytes do not fit into a PROXY protocol header")
    return len(value).to_bytes(2, "big")
