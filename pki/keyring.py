"""The CA's keys on disk: one folder for each issuer, `root`, `intermediate-1`, `intermediate-2` ...

Each holds `ca.key` (0600, PKCS#8, encrypted if there is a passphrase) and, for people, `ca.crt`.
Keys are read when they are first needed and kept for the life of the object.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import files
from pki.build import Issuer
from pki.errors import AuthorityError, PassphraseError
from pki.keys import PrivateKey, is_encrypted, load_private_key, private_pem

ROOT = "root"


def intermediate_name(number: int) -> str:
    """The folder of the `number`th intermediate, counted from 1."""
    return f"intermediate-{number}"


def needs_passphrase(directory: Path) -> bool:
    """Whether a CA key in `directory` is encrypted; raise `AuthorityError` if no key is there."""
    if not any(directory.glob("*/ca.key")):
        raise AuthorityError(f"there is no CA key in {directory}", "make a CA with: pki init")
    return _any_encrypted(directory)


def _any_encrypted(directory: Path) -> bool:
    return any(is_encrypted(path.read_bytes()) for path in directory.glob("*/ca.key"))


class Keyring:
    """The keys of one CA directory. `passphrase` None: they are not encrypted."""

    def __init__(self, directory: Path, passphrase: bytes | None) -> None:
        self._directory = directory
        self._passphrase = passphrase
        self._issuers: dict[str, Issuer] = {}

    def holds(self, name: str) -> bool:
        """Whether the key is here, and not on an offline medium."""
        return self._key(name).exists()

    def crl(self, name: str) -> Path:
        """Where an issuer's newest CRL is kept."""
        return self._directory / name / "crl.pem"

    def issuer(self, name: str, certificate: x509.Certificate) -> Issuer:
        """`certificate` with its key; raise `AuthorityError` if that is missing or locked."""
        if name not in self._issuers:
            self._issuers[name] = self._load(name, certificate)
        return self._issuers[name]

    def add(self, name: str, key: PrivateKey, certificate: x509.Certificate) -> None:
        """Write an issuer's key, then its certificate, replacing what an interrupted run left.

        Raises `PassphraseError` rather than put a key in plain text beside encrypted ones.
        """
        if self._passphrase is None and _any_encrypted(self._directory):
            raise PassphraseError("the other keys are encrypted", "give the same passphrase")
        folder = self._directory / name
        folder.mkdir(mode=0o700, exist_ok=True)
        files.sync_directory(self._directory)
        files.write_file(self._key(name), private_pem(key, self._passphrase), files.SECRET_MODE)
        files.write_file(folder / "ca.crt", certificate.public_bytes(Encoding.PEM))

    def _load(self, name: str, certificate: x509.Certificate) -> Issuer:
        path = self._key(name)
        try:
            pem = path.read_bytes()
        except FileNotFoundError as error:
            hint = "if it was taken offline, put it back for as long as this takes"
            raise AuthorityError(f"the key {path} is not there", hint) from error
        return Issuer(certificate, load_private_key(pem, self._passphrase, str(path)))

    def _key(self, name: str) -> Path:
        return self._directory / name / "ca.key"
