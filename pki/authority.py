"""The CA: decides, builds, records, and only then hands out.

A certificate is built and linted, its record is committed to the index, and after that it is
returned. A crash in between leaves a record without a certificate in anyone's hands, which is
harmless; the other order could leave a certificate that nobody knows of.

A CA is a directory (mode 0700):

    index.db               everything that was issued, and the log (`pki.store`)
    root/ca.crt            the root certificate
    root/ca.key            its key; may be taken away to an offline medium: only `rotate`, the
                           root's CRL and revoking an intermediate need it
    root/crl.pem           the root's newest CRL, served while the key is away
    intermediate-1/ca.crt  the issuing CA, then -2, -3 ... after each rotation: the newest signs,
    intermediate-1/ca.key  the older ones stay to sign their CRLs until they expire

The index is what counts: certificates are taken from it and only keys from the files, so a
directory that was left behind by an interrupted rotation is never used.

The clock is an argument (`now`, aware) everywhere; serial numbers and keys come from the
operating system.
"""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import build, files, view
from pki.build import Issuer, Revoked
from pki.bundle import spiffe_bundle
from pki.csr import read_csr
from pki.errors import AuthorityError, PassphraseError
from pki.issued import Issued
from pki.keyring import ROOT, Keyring, intermediate_name, needs_passphrase
from pki.keys import KeyType, PrivateKey, PublicKey, check_public_key, generate_key
from pki.lint import Role
from pki.log import LogReport
from pki.names import SpiffeID
from pki.profile import Profile, Request, parse_ip
from pki.store import Page, Query, Store
from pki.view import Entry

__all__ = ["REASONS", "Authority", "Issued", "needs_passphrase"]

REASONS: Final = (
    "unspecified",
    "keyCompromise",
    "cACompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
)
"""RFC 5280 section 5.3.1, without the two that take a revocation back (hold, removeFromCRL)."""

_INDEX: Final = "index.db"
_BACK: Final = "put root/ca.key back for a moment, and run: pki crl"


class Authority:
    """One CA directory, opened. Use as a context manager; not shared between threads."""

    def __init__(self, directory: Path, store: Store, passphrase: bytes | None) -> None:
        self._keys = Keyring(directory, passphrase)
        self._store = store
        self._certificates: dict[str, x509.Certificate] = {}

    @classmethod
    def create(
        cls,
        directory: Path,
        profile: Profile,
        now: datetime,
        *,
        key_type: KeyType = KeyType.P256,
        passphrase: bytes | None = None,
    ) -> Self:
        """Make a CA: root, first intermediate, index. Raise `AuthorityError` if one is there."""
        if passphrase == b"":
            raise PassphraseError("the passphrase is empty", "leave it out for keys in plain text")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = (_INDEX, ROOT, intermediate_name(1))
        if taken := [name for name in names if (directory / name).exists()]:
            raise AuthorityError(
                f"{directory} holds a CA already, or what an interrupted init left: {taken[0]}",
                "choose another directory; a CA that is in use must never be overwritten",
            )
        # From here on, what is there is ours: of two that begin at once, one makes the index.
        authority = cls(directory, Store.create(directory / _INDEX), passphrase)
        try:
            authority._begin(profile, now, key_type)
        except BaseException:
            authority.close()
            _remove(directory, *names, f"{_INDEX}-*")
            raise
        return authority

    @classmethod
    def open(cls, directory: Path, passphrase: bytes | None = None) -> Self:
        """Open a CA. Keys are read when they are first needed, so `ls` needs no passphrase."""
        return cls(directory, Store.open(directory / _INDEX), passphrase)

    def close(self) -> None:
        """Close the index."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- leaves -------------------------------------------------------------------------------

    def issue(
        self, request: Request, now: datetime, key: KeyType | PublicKey = KeyType.P256
    ) -> Issued:
        """Issue for `request`: with a new key of that type, or for somebody's public key."""
        private, public = _pair(key)
        parent = self._cas(Role.INTERMEDIATE)[-1]
        if parent.revoked_at is not None:
            raise AuthorityError("the issuing CA is revoked", "make the next one with: pki rotate")
        issuer = self._issuer(parent)
        leaf = build.leaf(issuer, request, public, self.profile, now, _serial())
        ttl = self.profile.ttl(request)
        with self._store.transaction():
            self._store.append(view.issue_record(leaf, Role.LEAF, parent.serial, ttl, now))
        entry = self.find(view.serial_text(leaf.serial_number))
        return Issued((leaf, issuer.certificate), self.bundle(), private, entry)

    def sign_csr(self, csr: bytes, request: Request, now: datetime) -> Issued:
        """Issue for `request` with the key of a CSR (PEM or DER); see `pki.csr`."""
        return self.issue(request, now, read_csr(csr, request))

    def renew(
        self,
        serial: str,
        now: datetime,
        *,
        ttl: timedelta | None = None,
        key: KeyType | PublicKey | None = None,
    ) -> Issued:
        """Issue again for the names of `serial`, for as long as then unless `ttl` is given.

        A new key of the same type unless `key` says otherwise. An expired certificate may be
        renewed; a revoked or unknown one or a CA's raises `AuthorityError`.
        """
        old = self.find(serial)
        if old.role is not Role.LEAF:
            raise AuthorityError(f"{old.serial} is a CA certificate", "pki rotate makes the next")
        if old.revoked_at is not None:
            raise AuthorityError(
                f"{old.serial} is revoked ({old.reason})", "pki issue, if it is right"
            )
        names = SpiffeID.parse(old.spiffe_id), old.dns, tuple(map(parse_ip, old.ips))
        again = Request(*names, old.ttl if ttl is None else ttl)
        return self.issue(again, now, key or _same_type(old))

    # --- revocation ---------------------------------------------------------------------------

    def revoke(self, serial: str, now: datetime, reason: str = "unspecified") -> Entry:
        """Revoke a leaf or an intermediate; raise `AuthorityError` if unknown, revoked, a root.

        For an intermediate the root's CRL is signed at once, while its key is here.
        """
        if reason not in REASONS:
            raise AuthorityError(
                f"{reason!a} is not a reason", f"reasons are: {', '.join(REASONS)}"
            )
        found = self.find(serial)
        if found.role is Role.ROOT:
            raise AuthorityError("a root is not revoked but taken out of every trust bundle")
        if found.role is Role.INTERMEDIATE:
            self._issuer(self._root())  # without its key, no CRL could say so
        with self._store.transaction():
            found = self.find(serial)  # again: nobody else can revoke it now
            if found.revoked_at is not None:
                raise AuthorityError(f"{found.serial} is revoked already ({found.reason})")
            self._store.append(view.revoke_record(found.serial, reason, now))
        if found.role is Role.INTERMEDIATE:
            self._root_crl(now)
        return self.find(serial)

    def crls(self, now: datetime) -> tuple[x509.CertificateRevocationList, ...]:
        """A current CRL of every living issuer: each intermediate's, then the root's.

        New ones are signed; the root's last one is served while its key is away.
        """
        living = [e for e in self._cas(Role.INTERMEDIATE) if e.not_after > now]
        signed = [self._sign_crl(e, now, self.profile.crl_ttl) for e in living]
        return (*signed, self._root_crl(now))

    def _root_crl(self, now: datetime) -> x509.CertificateRevocationList:
        root, path = self._root(), self._keys.crl(ROOT)
        if self._keys.holds(ROOT):
            crl = self._sign_crl(root, now, self.profile.root_crl_ttl)
            files.write_file(path, crl.public_bytes(Encoding.PEM))
            return crl
        try:
            crl = x509.load_pem_x509_crl(path.read_bytes())
        except (OSError, ValueError, x509.InvalidVersion) as error:
            raise AuthorityError("the root's key is away, and it has left no CRL", _BACK) from error
        self._check_left(crl, now)
        return crl

    def _check_left(self, crl: x509.CertificateRevocationList, now: datetime) -> None:
        """Refuse a root CRL that its verifiers would refuse, or that says less than is known."""
        root = self._root()
        key = check_public_key(self._ca_certificate(root).public_key())
        if not crl.is_signature_valid(key):
            raise AuthorityError(
                "the root's key is away, and the CRL it left is not its own", _BACK
            )
        if crl.next_update_utc is None or crl.next_update_utc <= now:
            raise AuthorityError("the root's key is away, and its last CRL has expired", _BACK)
        known = {entry.serial for entry in self._store.revoked(root.serial, now)}
        if missing := known - {view.serial_text(line.serial_number) for line in crl}:
            raise AuthorityError(
                f"the root's key is away, and its last CRL lacks {min(missing)}", _BACK
            )

    def _sign_crl(
        self, parent: Entry, now: datetime, ttl: timedelta
    ) -> x509.CertificateRevocationList:
        issuer = self._issuer(parent)
        with self._store.transaction():
            # Longer than until they expire: each must have been in one CRL made after that.
            listed = map(_revoked, self._store.revoked(parent.serial, now - ttl))
            number = self._store.next_seq()
            crl = build.crl(issuer, listed, number, now, now + ttl)
            self._store.append(view.crl_record(parent.serial, crl, number, now))
        return crl

    # --- trust --------------------------------------------------------------------------------

    def bundle(self) -> tuple[x509.Certificate, ...]:
        """The roots to trust."""
        return tuple(map(self._ca_certificate, self._cas(Role.ROOT)))

    def spiffe_bundle(self) -> dict[str, Any]:
        """The SPIFFE bundle of the trust domain, ready for `json.dumps`."""
        sequence = self._root().seq  # rises when a root is added
        return spiffe_bundle(self.bundle(), sequence, self.profile.refresh)

    def rotate(self, now: datetime, key_type: KeyType = KeyType.P256) -> Entry:
        """Make the next intermediate (needs the root's key); new leaves are signed by it."""
        root = self._root()
        issuer = self._issuer(root)
        key, ttl = generate_key(key_type), self.profile.intermediate_ttl
        made = build.intermediate(issuer, key.public_key(), self.profile, now, _serial())
        with self._store.transaction():
            number = len(self._store.entries(Role.INTERMEDIATE)) + 1
            self._keys.add(intermediate_name(number), key, made)
            self._store.append(view.issue_record(made, Role.INTERMEDIATE, root.serial, ttl, now))
        return self.find(view.serial_text(made.serial_number))

    # --- the index ----------------------------------------------------------------------------

    @cached_property
    def profile(self) -> Profile:
        """What this CA issues, as it was decided at `init`."""
        first = self._store.data(1)
        if first is None:
            hint = "remove the directory, and make the CA again with: pki init"
            raise AuthorityError("the CA was never finished: its index is empty", hint)
        return Profile.from_dict(first["profile"])

    def find(self, serial: str) -> Entry:
        """The entry of a certificate; the serial may be upper case or have colons."""
        text = serial.replace(":", "").lower().rjust(40, "0")
        found = self._store.find(text)
        if found is None:
            hint = "list what this CA has issued with: pki ls"
            raise AuthorityError(f"no certificate has the serial number {serial[:80]!a}", hint)
        return found

    def certificate(self, serial: str) -> x509.Certificate:
        """The certificate as it was issued; raise `AuthorityError` if unknown."""
        data = self._store.data(self.find(serial).seq)
        assert data is not None  # the view's rows are made from records
        return view.certificate_of(data)

    def ls(self, query: Query) -> Page:
        """One page of the index."""
        return self._store.ls(query)

    def verify_log(self, head: str | None = None) -> LogReport:
        """Check the index; see `Store.verify`."""
        return self._store.verify(head)

    # --- the CA itself ------------------------------------------------------------------------

    def _begin(self, profile: Profile, now: datetime, key_type: KeyType) -> None:
        root_key, key = generate_key(key_type), generate_key(key_type)
        root = build.root(root_key, profile, now, _serial())
        issuer = Issuer(root, root_key)
        first = build.intermediate(issuer, key.public_key(), profile, now, _serial())
        self._keys.add(ROOT, root_key, root)
        self._keys.add(intermediate_name(1), key, first)
        above = view.serial_text(root.serial_number)
        with self._store.transaction():
            self._store.append(view.init_record(profile.as_dict(), now))
            for record in (
                view.issue_record(root, Role.ROOT, None, profile.root_ttl, now),
                view.issue_record(first, Role.INTERMEDIATE, above, profile.intermediate_ttl, now),
            ):
                self._store.append(record)

    def _root(self) -> Entry:
        return self._cas(Role.ROOT)[-1]

    def _cas(self, role: Role) -> list[Entry]:
        """The CA certificates of a role, oldest first."""
        _ = self.profile  # says so if the CA is not there
        return self._store.entries(role)

    def _issuer(self, entry: Entry) -> Issuer:
        """A CA certificate with its key."""
        return self._keys.issuer(self._name(entry), self._ca_certificate(entry))

    def _name(self, entry: Entry) -> str:
        """The folder of a CA certificate: intermediates are counted in the order of the log."""
        if entry.role is Role.ROOT:
            return ROOT
        serials = [e.serial for e in self._store.entries(Role.INTERMEDIATE)]
        return intermediate_name(serials.index(entry.serial) + 1)

    def _ca_certificate(self, entry: Entry) -> x509.Certificate:
        """The few that are needed again and again are read once."""
        if entry.serial not in self._certificates:
            self._certificates[entry.serial] = self.certificate(entry.serial)
        return self._certificates[entry.serial]


def _serial() -> int:
    return build.serial_number(os.urandom(20))


def _pair(key: KeyType | PublicKey) -> tuple[PrivateKey | None, PublicKey]:
    if not isinstance(key, KeyType):
        return None, key
    private = generate_key(key)
    return private, private.public_key()


def _same_type(entry: Entry) -> KeyType:
    try:
        return KeyType(entry.key_type)
    except ValueError as error:
        raise AuthorityError(
            f"keys of the type {entry.key_type} are not made here", "choose one with --key-type"
        ) from error


def _revoked(entry: Entry) -> Revoked:
    assert entry.revoked_at is not None
    reason = None if entry.reason == "unspecified" else x509.ReasonFlags(entry.reason)
    return Revoked(int(entry.serial, 16), entry.revoked_at, reason)


def _remove(directory: Path, *patterns: str) -> None:
    for path in [path for pattern in patterns for path in directory.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
