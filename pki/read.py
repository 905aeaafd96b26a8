"""Files that may hold anything -> certificates, requests and revocation lists.

PEM with any mixture of blocks, or one DER object; nothing is guessed from a file's name. Private
keys are recognised and left unread: what is never decoded cannot be printed. The input is a
stranger's, so it has a size limit, the scan over it is linear, and whatever is wrong with it
becomes an `InputError` that names file, block and line.
"""

from __future__ import annotations

import binascii
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from pki.errors import PkiError
from pki.text import printable

MAX_INPUT_BYTES: Final = 16 * 1024 * 1024  # a CRL with some 400,000 entries
STDIN: Final = "-"


class InputError(PkiError):
    """A file that cannot be read, or does not hold what was asked for."""


@dataclass(frozen=True, slots=True)
class PrivateKeyBlock:
    """The place of a private key, whose content was not looked at."""

    label: str


Value = (
    x509.Certificate
    | x509.CertificateSigningRequest
    | x509.CertificateRevocationList
    | PrivateKeyBlock
)


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a file; `position` counts from 1."""

    source: str
    position: int
    value: Value


_LOADERS: Final[dict[str, Callable[[bytes], Value]]] = {
    "CERTIFICATE": x509.load_der_x509_certificate,
    "X509 CERTIFICATE": x509.load_der_x509_certificate,
    "CERTIFICATE REQUEST": x509.load_der_x509_csr,
    "NEW CERTIFICATE REQUEST": x509.load_der_x509_csr,
    "X509 CRL": x509.load_der_x509_crl,
}
_WHAT: Final = {
    x509.Certificate: "certificate",
    x509.CertificateSigningRequest: "certificate signing request",
    x509.CertificateRevocationList: "CRL",
    PrivateKeyBlock: "private key",
}
# What the library raises for malformed input; not all of it is a ValueError.
MALFORMED: Final = (
    ValueError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_HINT: Final = "certificates, requests and CRLs are read, in PEM or DER"


def read_items(name: str, stdin: BinaryIO | None = None) -> tuple[Item, ...]:
    """Read the file `name`, or standard input for `-`; raise `InputError`."""
    data = read_bytes(name, stdin)
    return parse_items(source_name(name), data)


def read_certificates(name: str, stdin: BinaryIO | None = None) -> tuple[x509.Certificate, ...]:
    """As `read_items`, for a file of which only the certificates count; at least one."""
    items = read_items(name, stdin)
    found = tuple(i.value for i in items if isinstance(i.value, x509.Certificate))
    if not found:
        kinds = ", ".join(sorted({describe(item.value) for item in items}))
        raise InputError(f"{source_name(name)} holds no certificate, only: {kinds}")
    return found


def read_crls(name: str) -> tuple[x509.CertificateRevocationList, ...]:
    """As `read_items`, for a file of which only the CRLs count; at least one."""
    items = read_items(name)
    found = tuple(i.value for i in items if isinstance(i.value, x509.CertificateRevocationList))
    if not found:
        raise InputError(f"{source_name(name)} holds no CRL", "`pki crl` writes one")
    return found


def describe(value: Value) -> str:
    """What an object is, in a word or two."""
    return next(word for kind, word in _WHAT.items() if isinstance(value, kind))


def source_name(name: str) -> str:
    """A file's name as messages show it."""
    return "standard input" if name == STDIN else printable(name)


def read_bytes(name: str, stdin: BinaryIO | None = None, limit: int = MAX_INPUT_BYTES) -> bytes:
    """The content of a file, or of standard input for `-`, if it has at most `limit` bytes."""
    try:
        if name == STDIN:
            data = (stdin or sys.stdin.buffer).read(limit + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"cannot read {source_name(name)}: {reason(error)}") from error
    if len(data) > limit:
        raise InputError(f"{source_name(name)} is larger than {limit} bytes")
    return data


def reason(error: OSError) -> str:
    """The operating system's words for what went wrong, in lower case and without the path."""
    return (error.strerror or type(error).__name__).lower()


def parse_items(source: str, data: bytes) -> tuple[Item, ...]:
    """Read PEM if there is any in `data`, else one DER object; raise `InputError`."""
    if b"-----BEGIN " in data:
        return tuple(
            Item(source, block.position, _load_block(source, block))
            for block in _blocks(source, data)
        )
    if not data.strip():
        raise InputError(f"{source} is empty", _HINT)
    return (Item(source, 1, _load_der(source, data)),)


@dataclass(frozen=True, slots=True)
class _Block:
    """One PEM block: its label, its place, and the base64 between the markers."""

    position: int
    line: int
    label: str
    body: bytes

    def where(self, source: str) -> str:
        return f"{source}: block {self.position} (line {self.line})"


def _blocks(source: str, data: bytes) -> Iterator[_Block]:
    """Split at the markers of RFC 7468; text around blocks is explanatory and skipped."""
    position, line, at = 0, 1, 0
    while (begin := data.find(b"-----BEGIN ", at)) >= 0:
        position, line = position + 1, line + data.count(b"\n", at, begin)
        where = f"{source}: block {position} (line {line})"
        label_end = data.find(b"-----", begin + 11, begin + 11 + 64)
        if label_end < 0:
            raise InputError(f"{where} has a BEGIN line without end")
        label = data[begin + 11 : label_end]
        marker = b"-----END " + label + b"-----"
        end = data.find(marker, label_end)
        if end < 0:  # stops the scan: only a found block lets it go on, so it stays linear
            raise InputError(f"{where} has no END line", "was the file cut off?")
        text = printable(label.decode("latin-1"))
        yield _Block(position, line, text, data[label_end + 5 : end])
        line, at = line + data.count(b"\n", begin, end), end + len(marker)


def _load_block(source: str, block: _Block) -> Value:
    if block.label.endswith("PRIVATE KEY"):
        return PrivateKeyBlock(block.label)
    loader = _LOADERS.get(block.label)
    if loader is None:
        raise InputError(f"{block.where(source)} is a {block.label}, which is not read here", _HINT)
    try:
        body = binascii.a2b_base64(b"".join(block.body.split()), strict_mode=True)
    except binascii.Error as error:
        raise InputError(f"{block.where(source)} is not base64") from error
    try:
        return _quietly(loader, body)
    except MALFORMED as error:
        raise InputError(
            f"{block.where(source)} is not a well-formed {block.label}: {words(error)}"
        ) from error


def _load_der(source: str, data: bytes) -> Value:
    if not data.startswith(b"\x30"):  # all three are a SEQUENCE
        raise InputError(f"{source} is neither PEM nor DER", _HINT)
    problems = {}
    for loader in dict.fromkeys(_LOADERS.values()):
        try:
            return _quietly(loader, data)
        except MALFORMED as error:
            problems[loader] = error
    why = words(problems[x509.load_der_x509_certificate])
    raise InputError(f"{source} is no certificate, request or CRL in DER: {why}", _HINT)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the library's warnings: what they say is a finding here, not noise on stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


def _quietly(loader: Callable[[bytes], Value], data: bytes) -> Value:
    with quiet():
        return loader(data)


def words(error: Exception) -> str:
    """The library's reason on one short line; some of them quote the input."""
    text = printable(str(error)) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + "…"
