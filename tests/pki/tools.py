"""Programs and linters of other people, to judge what the CA makes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pkilint import loader, pkix, validation
from pkilint.pkix import certificate, crl, extension, name

OPENSSL: Final = shutil.which("openssl") or "openssl"


def needs_openssl(test: Any) -> Any:
    """Mark a test that runs openssl, and skip it where that is not installed."""
    absent = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
    return pytest.mark.tool("openssl")(absent(test))


def openssl(*arguments: str | Path) -> tuple[int, str]:
    """Run openssl; return its exit code and everything it printed."""
    run = subprocess.run(
        [OPENSSL, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=20
    )
    return run.returncode, run.stdout + run.stderr


def write_pem(path: Path, *items: x509.Certificate | x509.CertificateRevocationList) -> Path:
    """Write certificates or CRLs, one after the other."""
    path.write_bytes(b"".join(item.public_bytes(Encoding.PEM) for item in items))
    return path


def lint_certificate(made: x509.Certificate) -> list[str]:
    """The codes of what pkilint finds at the level of ERROR or above, but for one.

    `pkix.invalid_uri_syntax` is a false positive for every `spiffe://` URI.
    """
    document = loader.load_der_certificate(made.public_bytes(Encoding.DER), "certificate")
    return _errors(_certificate_rules().validate(document.root))


def lint_crl(made: x509.CertificateRevocationList) -> list[str]:
    """The codes of what pkilint finds in a CRL at the level of ERROR or above."""
    document = loader.load_der_crl(made.public_bytes(Encoding.DER), "crl")
    return _errors(_crl_rules().validate(document.root))


@cache
def _certificate_rules() -> Any:
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(
            name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS
        ),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


@cache
def _crl_rules() -> Any:
    return crl.create_pkix_crl_validator_container(
        [
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [
            crl.create_issuer_validator_container([]),
            crl.create_validity_validator_container([]),
            crl.create_extensions_validator_container([]),
        ],
    )


def _errors(results: Sequence[Any]) -> list[str]:
    severity = validation.ValidationFindingSeverity
    severe = {severity.ERROR, severity.FATAL}
    codes = [
        found.finding.code
        for result in results
        for found in result.finding_descriptions
        if found.finding.severity in severe
    ]
    return [code for code in codes if code != "pkix.invalid_uri_syntax"]
