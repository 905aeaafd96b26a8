"""TLS contexts from bytes, and the meaning of OpenSSL's errors.

A context is made once for each listener or upstream and snapshot, never shared: the session
cache lives in it, so a session of one listener is worth nothing at another, and none outlives a
change of certificate, trust or revocation. It is made from bytes through memory files, because
OpenSSL reads files only and a key must not touch a disk.

What OpenSSL decides here: the chain ends at a trusted root, is in time, is not revoked, its
purpose fits. What it does not know, the SPIFFE rules, `core.peer` decides for every connection,
resumed or not.

Errors are told apart by OpenSSL's codes. Its sentences change from release to release.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from sidecar.core import reasons
from sidecar.core.ids import RefusedError
from sidecar.core.reasons import Reason

MinVersion = Literal["1.2", "1.3"]

# TLS 1.2, for those who ask for it: authenticated encryption and forward secrecy, nothing else.
# (The suites of TLS 1.3 are all of that kind and have a list of their own.)
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
_OPTIONS: Final = (
    ssl.OP_NO_COMPRESSION
    | ssl.OP_NO_RENEGOTIATION
    | ssl.OP_NO_TICKET
    | ssl.OP_CIPHER_SERVER_PREFERENCE
)
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class CredentialsError(ValueError):
    """Certificates, key, trust bundle or revocation lists cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What this workload proves its identity with, and whom it believes. PEM, all of it.

    `chain_pem` is the leaf and then its intermediates, `trust_pem` the roots, `crl_pem` a
    revocation list of every issuer, or None if revocation is not checked.
    """

    chain_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)
    trust_pem: bytes = field(repr=False)
    crl_pem: bytes | None = field(repr=False, default=None)


class NamedObject(ssl.SSLObject):
    """The server's end of a connection, which remembers the name that the client asked for."""

    server_name: str | None = None


def server_context(
    credentials: Credentials, min_version: MinVersion = "1.3", *, alpn: Sequence[str] = ()
) -> ssl.SSLContext:
    """Make the context of one listener, or raise `CredentialsError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    context.sslobject_class = NamedObject
    context.sni_callback = _remember_name
    return _equip(context, credentials, min_version, alpn)


def client_context(
    credentials: Credentials, min_version: MinVersion = "1.3", *, alpn: Sequence[str] = ()
) -> ssl.SSLContext:
    """Make the context of one upstream, or raise `CredentialsError`.

    Host names are not checked: the server's identity is its SPIFFE ID, and whoever dials checks
    that before the first byte is sent.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return _equip(context, credentials, min_version, alpn)


def reason_of(error: BaseException) -> tuple[Reason, str]:
    """Tell why a handshake or a TLS stream failed; the second value is for the log."""
    raise NotImplementedError


def _equip(
    context: ssl.SSLContext,
    credentials: Credentials,
    min_version: MinVersion,
    alpn: Sequence[str],
) -> ssl.SSLContext:
    raise NotImplementedError


def _remember_name(
    connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext
) -> None:
    raise NotImplementedError
