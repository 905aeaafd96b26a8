"""Certificates and keys in the shapes that others read: a folder, PKCS#12, a Kubernetes Secret.

Each is a pure function from an `Issued` to bytes, beside the mode that the bytes must have on
disk; `pki.files` writes them, so a key is never readable by others, not even for a moment.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from pki.errors import RequestError
from pki.files import PUBLIC_MODE, SECRET_MODE
from pki.issued import Issued

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")  # RFC 1123 subdomain
_KDF_ROUNDS: Final = 600_000  # as for CA keys: PBKDF2-HMAC-SHA256


@dataclass(frozen=True, slots=True)
class SecretName:
    """Where a Kubernetes Secret goes; no namespace means kubectl's current one."""

    name: str
    namespace: str | None = None

    def __post_init__(self) -> None:
        for text in (self.name, self.namespace):
            if text is not None and not _NAME.fullmatch(text):
                raise RequestError(
                    f"{text[:80]!a} is not a name that Kubernetes takes",
                    "lower-case letters, digits, - and . inside, at most 253",
                )


def folder(issued: Issued) -> Mapping[str, tuple[bytes, int]]:
    """The files of an identity folder, {name: (content, mode)}; no `tls.key` for a CSR's key."""
    files = {
        "tls.crt": (issued.chain_pem, PUBLIC_MODE),
        "ca.crt": (issued.bundle_pem, PUBLIC_MODE),
    }
    if issued.key is not None:
        files["tls.key"] = (issued.key_pem, SECRET_MODE)
    return files


def pkcs12_file(issued: Issued, passphrase: bytes) -> bytes:
    """One PKCS#12 file with key, chain and root, encrypted with AES-256 (RFC 7292, PBES2)."""
    encryption = (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(_KDF_ROUNDS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(passphrase)
    )
    return pkcs12.serialize_key_and_certificates(
        issued.entry.spiffe_id.encode(),
        issued.key,
        issued.certificate,
        [*issued.chain[1:], *issued.bundle],
        encryption,
    )


def k8s_secret(issued: Issued, where: SecretName) -> bytes:
    """A `kubernetes.io/tls` Secret as YAML; it holds the key, only base64-coded."""
    lines = ["apiVersion: v1", "kind: Secret", "metadata:", f'  name: "{where.name}"']
    if where.namespace is not None:
        lines.append(f'  namespace: "{where.namespace}"')
    lines += ["type: kubernetes.io/tls", "data:"]
    lines += [
        f"  {name}: {base64.b64encode(content).decode()}"
        for name, (content, _) in sorted(folder(issued).items())
    ]
    return ("\n".join(lines) + "\n").encode()
