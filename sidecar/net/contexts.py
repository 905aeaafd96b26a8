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
import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from sidecar.core import reasons
from sidecar.core.ids import RefusedError
from sidecar.core.reasons import Reason

MinVersion = Literal["1.2", "1.3"]
_Code = TypeVar("_Code", int, str)

# TLS 1.2, for those who ask for it: authenticated encryption and forward secrecy, nothing else.
# (The suites of TLS 1.3 are all of that kind and have a list of their own.)
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
_OPTIONS: Final = (
    ssl.OP_NO_COMPRESSION
    | ssl.OP_NO_RENEGOTIATION
    | ssl.OP_NO_TICKET
    | ssl.OP_CIPHER_SERVER_PREFERENCE
)
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,255}")
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
    credentials: Credentials,
    min_version: MinVersion = "1.3",
    *,
    alpn: Sequence[str] = (),
    names: bool = False,
) -> ssl.SSLContext:
    """Make the context of one listener, or raise `CredentialsError`.

    `names`: remember the host name that a client asks for. Off by default, because Python prints a
    traceback to stderr for a name that is not ASCII, and anyone may send one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    if names:
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
    """Tell why a handshake or a TLS stream failed; the second value is for the log.

    The text is OpenSSL's or the system's and holds nothing that the peer chose.
    """
    match error:
        case RefusedError():
            return error.reason, error.detail
        case ssl.SSLCertVerificationError():
            reason = _BY_VERIFY_CODE.get(error.verify_code, reasons.UNTRUSTED)
            return reason, error.verify_message
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return reasons.HANDSHAKE_CLOSED, ""
        case ssl.SSLError():
            return _of_library(error)
        case TimeoutError():
            return reasons.HANDSHAKE_TIMEOUT, ""
        case OSError():
            return reasons.HANDSHAKE_CLOSED, str(error)
        case _:
            return reasons.INTERNAL, type(error).__name__


def _of_library(error: ssl.SSLError) -> tuple[Reason, str]:
    """Look an error up by the name that OpenSSL's headers give to its code."""
    name = getattr(error, "reason", None)
    if not name:  # a code that Python has no name for
        return reasons.HANDSHAKE_FAILED, str(error)
    _, is_alert, alert = name.partition("_ALERT_")
    if is_alert:
        reason = _BY_ALERT.get(alert, reasons.HANDSHAKE_FAILED)
        return reason, f"the other side's alert: {_words(alert)}"
    return _BY_NAME.get(name, reasons.HANDSHAKE_FAILED), _words(name)


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


def _equip(
    context: ssl.SSLContext,
    credentials: Credentials,
    min_version: MinVersion,
    alpn: Sequence[str],
) -> ssl.SSLContext:
    """Everything that both sides of mutual TLS have in common."""
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = _VERSIONS[min_version]
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.set_ciphers(_CIPHERS)
    context.options |= _OPTIONS
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if alpn:
        context.set_alpn_protocols(list(alpn))
    _load_own(context, credentials)
    _load_trust(context, credentials)
    return context


def _load_own(context: ssl.SSLContext, credentials: Credentials) -> None:
    with _memory_file(credentials.chain_pem) as chain, _memory_file(credentials.key_pem) as key:
        try:
            # The empty password keeps OpenSSL from asking for one at the terminal.
            context.load_cert_chain(chain, key, password="")
        except ssl.SSLError as error:
            raise CredentialsError(_why_not_own(error)) from None


def _why_not_own(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the private key does not belong to the certificate"
    return f"the certificate chain or its private key cannot be used ({error.reason})"


def _load_trust(context: ssl.SSLContext, credentials: Credentials) -> None:
    _load_store(context, credentials.trust_pem, "the trust bundle")
    trusted = context.cert_store_stats()["x509"]
    if not context.cert_store_stats()["x509_ca"]:
        raise CredentialsError("the trust bundle holds no CA certificate")
    if credentials.crl_pem is None:
        return
    _load_store(context, credentials.crl_pem, "the revocation list")
    stats = context.cert_store_stats()
    if stats["x509"] != trusted:
        raise CredentialsError("the revocation list holds a certificate, which would be trusted")
    if not stats["crl"]:
        raise CredentialsError("the revocation list holds no CRL")
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _load_store(context: ssl.SSLContext, pem: bytes, what: str) -> None:
    with _memory_file(pem) as path:
        try:
            context.load_verify_locations(path)
        except ssl.SSLError as error:
            raise CredentialsError(f"{what} cannot be read ({error.reason})") from None


@contextmanager
def _memory_file(content: bytes) -> Iterator[str]:
    """A path under which OpenSSL can read `content`, and nobody else after this."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(content)
        yield f"/proc/self/fd/{descriptor}"


def _remember_name(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
    """Keep a host name; answer anything else with an alert, so that it gets into no header."""
    assert isinstance(connection, NamedObject)
    if name is not None and not _HOST_NAME.fullmatch(name):
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    connection.server_name = name
    return None


# --- OpenSSL's codes ---------------------------------------------------------------------------


def _table(*rows: tuple[Reason, Sequence[_Code]]) -> dict[_Code, Reason]:
    return {code: reason for reason, codes in rows for code in codes}


# X509_V_ERR_* of openssl/x509_vfy.h, the same numbers since 3.0. What is not here is UNTRUSTED.
_BY_VERIFY_CODE: Final = _table(
    (reasons.NOT_YET_VALID, [9]),
    (reasons.EXPIRED, [10]),
    (reasons.REVOKED, [23]),
    # a CRL is missing, its issuer is, its signature, time, scope or extensions do not fit
    (reasons.CRL_UNUSABLE, [3, 5, 8, 11, 12, 15, 16, 33, 35, 36, 44, 54]),
    (reasons.LONG_CHAIN, [22]),
    # no CA, path length exceeded, keyUsage without keyCertSign
    (reasons.BAD_ISSUER, [24, 25, 32, 37, 79]),
    (reasons.EXTENDED_KEY_USAGE, [26]),
    (reasons.KEY_USAGE, [39]),
    (reasons.NAME_CONSTRAINT, [47, 48, 49, 51, 52, 53]),
    (reasons.WEAK_KEY, [66, 67, 68, 94]),
    # fields that cannot be decoded, unknown critical extensions, and VERIFY_X509_STRICT (80-93)
    (reasons.MALFORMED_CERTIFICATE, [4, 6, 13, 14, 34, 41, 42, 45, 76, 77, 78, *range(80, 94)]),
)

# Names of SSL_R_* in openssl/sslerr.h.
_BY_NAME: Final = _table(
    (reasons.NO_CERTIFICATE, ["PEER_DID_NOT_RETURN_A_CERTIFICATE"]),
    (reasons.NOT_TLS, [
        "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL",
        "RECORD_LAYER_FAILURE",
    ]),
    (reasons.TLS_VERSION, [
        "UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW", "VERSION_TOO_HIGH", "NO_SHARED_CIPHER",
        "NO_SHARED_GROUPS", "NO_SUITABLE_GROUPS", "NO_SUITABLE_KEY_SHARE",
        "NO_SHARED_SIGNATURE_ALGORITHMS", "NO_SUITABLE_SIGNATURE_ALGORITHM",
        "INAPPROPRIATE_FALLBACK", "WRONG_SSL_VERSION", "UNKNOWN_CIPHER_RETURNED",
    ]),
    (reasons.WEAK_KEY, [
        "EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "DH_KEY_TOO_SMALL",
    ]),
    (reasons.LONG_CHAIN, ["EXCESSIVE_MESSAGE_SIZE"]),
    (reasons.HANDSHAKE_CLOSED, ["UNEXPECTED_EOF_WHILE_READING"]),
    (reasons.TLS_BROKEN, ["DECRYPTION_FAILED_OR_BAD_RECORD_MAC"]),
)  # fmt: skip

# Alerts of RFC 8446 section 6, as OpenSSL names them after its prefix.
_BY_ALERT: Final = _table(
    (reasons.OWN_CERTIFICATE_REFUSED, [
        "NO_CERTIFICATE", "BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_REVOKED",
        "CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN", "UNKNOWN_CA", "ACCESS_DENIED",
        "CERTIFICATE_REQUIRED",
    ]),
    (reasons.TLS_VERSION, ["PROTOCOL_VERSION", "INSUFFICIENT_SECURITY", "INAPPROPRIATE_FALLBACK"]),
    (reasons.HANDSHAKE_CLOSED, ["USER_CANCELLED"]),
    (reasons.TLS_BROKEN, ["BAD_RECORD_MAC", "DECRYPTION_FAILED"]),
)  # fmt: skip
