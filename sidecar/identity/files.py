"""The identity of this workload, from a folder that anything may have written.

The folder has the names of a Kubernetes TLS Secret: `tls.crt` (the leaf, then its intermediates),
`tls.key`, `ca.crt` (the roots that are trusted) and, if revocation is checked, `crl.pem`.

Whoever writes these files does not stop the world for it. The kubelet swaps one symlink,
`..data`; others replace file after file. So reading happens between two looks at the folder, and
if they differ it starts again. What comes out is either a whole identity, which passes every
check that a peer will make, or an `IdentityError`. A half-written folder is an error like any
other: the old identity keeps serving, and the next change of the folder is the next try.
Nothing here sleeps or waits.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from pki.names import SpiffeID
from sidecar.core.crl import MAX_CRL_BYTES, Crl
from sidecar.core.ids import RefusedError
from sidecar.core.peer import MAX_CHAIN, check_time, check_workload
from sidecar.core.pem import CERTIFICATE, CRL, pem_blocks
from sidecar.core.x509 import Certificate, MalformedCertificateError
from sidecar.net.contexts import Credentials, CredentialsError, server_context

CHAIN: Final = "tls.crt"
KEY: Final = "tls.key"
TRUST: Final = "ca.crt"
REVOKED: Final = "crl.pem"
FILES: Final = (CHAIN, KEY, TRUST, REVOKED)
MAX_FILE_BYTES: Final = 1024 * 1024
_MAX_CRL_PEM_BYTES: Final = MAX_CRL_BYTES * 3 // 2
_ATTEMPTS: Final = 3


class IdentityError(Exception):
    """The folder holds no usable identity: which file, what is wrong, and what would fix it."""

    def __init__(self, path: Path, problem: str, hint: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this workload is, whom it trusts and what it no longer believes.

    `revoked` holds pairs of an issuer's name (DER) and a serial, `roots` the fingerprints of those
    who are trusted. `fingerprint` is what
    `fingerprint(path)` was before the files were read. `warnings` are sentences for the operator.
    `bundle_not_after` is the earliest end of a root, `crl_next_update` the earliest of the lists.
    """

    credentials: Credentials
    spiffe_id: SpiffeID
    leaf: Certificate = field(repr=False)
    fingerprint: object = field(repr=False)
    revoked: frozenset[tuple[bytes, int]] = field(repr=False)
    roots: frozenset[str] = field(repr=False)
    warnings: tuple[str, ...]
    bundle_not_after: float
    crl_next_update: float | None

    @property
    def trust_domain(self) -> str:
        """The trust domain that this workload belongs to, and its peers with it."""
        return self.spiffe_id.trust_domain

    def view(self) -> dict[str, Any]:
        """Show it to an operator, in values that JSON has; it holds no secret."""
        return {
            "spiffe_id": str(self.spiffe_id),
            "serial": f"{self.leaf.serial:x}",
            "issuer": self.leaf.issuer_text,
            "fingerprint": self.leaf.fingerprint,
            "not_before": _rfc3339(self.leaf.not_before),
            "not_after": _rfc3339(self.leaf.not_after),
            "key": self.leaf.public_key.curve or self.leaf.public_key.algorithm,
            "revoked": len(self.revoked),
            "checks_revocation": self.credentials.crl_pem is not None,
            "warnings": list(self.warnings),
        }


def fingerprint(path: Path) -> object:
    """Return a value that differs after any change of the folder's files; compare with `==`.

    For polling, once a second: four `stat` calls cost microseconds, and polling is the one way
    that works everywhere. inotify sees nothing of a change that another kernel makes (NFS, a
    bind mount into a virtual machine, gVisor's gofer), and on a Secret volume it watches a
    symlink's old target. Files that are missing or out of reach are part of the value. So is
    the change time, because a `chmod` can turn an error into an identity.
    """
    return tuple(_look(path / name) for name in FILES)


def read_folder(path: Path) -> Credentials:
    """Read all files as they were at one moment, unchecked, or raise `IdentityError`."""
    for _ in range(_ATTEMPTS):
        before = fingerprint(path)
        outcome = _read_files(path)
        if fingerprint(path) != before:
            continue
        if isinstance(outcome, IdentityError):
            raise outcome
        return outcome
    raise IdentityError(
        path, "the files changed again each time they were read", "write them once, then rename"
    )


def load_identity(path: Path, now: float, trust_domain: str | None = None) -> Identity:
    """Read the folder and check everything that a peer or OpenSSL will check, or raise.

    `now` is in seconds since the epoch. Without `trust_domain` the certificate's own is taken.
    Raises `IdentityError` and nothing else.
    """
    seen = fingerprint(path)
    credentials = read_folder(path)
    chain = _certificates(path / CHAIN, credentials.chain_pem)
    spiffe_id = _check_chain(path / CHAIN, chain, now)
    if trust_domain not in {None, spiffe_id.trust_domain}:
        raise IdentityError(
            path / CHAIN,
            f"{spiffe_id} is not in the trust domain {trust_domain}",
            "issue it in that trust domain, or change identity.trust_domain",
        )
    roots = _roots(path / TRUST, credentials.trust_pem)
    lists = _lists(path / REVOKED, credentials.crl_pem)
    _check_pair(path, credentials)
    warnings = [
        *_key_warnings(path / KEY),
        *_chain_warnings(path / CHAIN, chain, roots),
        *_root_warnings(path / TRUST, roots, now),
        *_list_warnings(path / REVOKED, chain, lists, now),
    ]
    revoked = frozenset((crl.issuer, serial) for crl in lists for serial in crl.serials)
    return Identity(
        credentials=credentials,
        spiffe_id=spiffe_id,
        leaf=chain[0],
        fingerprint=seen,
        revoked=revoked,
        roots=frozenset(root.fingerprint for root in roots),
        warnings=tuple(warnings),
        bundle_not_after=min(root.not_after for root in roots),
        crl_next_update=min((crl.next_update for crl in lists), default=None),
    )


# --- reading -----------------------------------------------------------------------------------


def _look(path: Path) -> object:
    try:
        facts = path.stat()
    except OSError as error:
        return error.errno
    place = os.path.realpath(path)
    return place, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _read_files(path: Path) -> Credentials | IdentityError:
    """Read each file once; an error is a value here, for it may be gone at the next look."""
    try:
        chain, key, trust = (_read(path / name, MAX_FILE_BYTES) for name in (CHAIN, KEY, TRUST))
        crl = path / REVOKED
        listed = os.path.lexists(crl)
        return Credentials(chain, key, trust, _read(crl, _MAX_CRL_PEM_BYTES) if listed else None)
    except IdentityError as error:
        return error


def _read(path: Path, limit: int) -> bytes:
    try:
        # A pipe must not hold up the whole proxy, hence O_NONBLOCK.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise IdentityError(path, "it is not a regular file", "put a PEM file there")
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise IdentityError(path, "there is no such file", _issue_hint(path)) from None
    except PermissionError:
        hint = f"let uid {os.geteuid()} read it: chown, or fsGroup in Kubernetes"
        raise IdentityError(path, "it may not be read", hint) from None
    except OSError as error:
        raise IdentityError(
            path, f"it cannot be read: {error.strerror}", "is the volume well?"
        ) from None
    if len(content) > limit:
        raise IdentityError(path, f"it is larger than {limit} bytes", "is it the right file?")
    return content


def _issue_hint(path: Path) -> str:
    return f"write tls.crt, tls.key and ca.crt there: `pki issue ... --out {path.parent}`"


def _look_hint(path: Path) -> str:
    return f"look at it: `pki show {path}`"


# --- checking ----------------------------------------------------------------------------------


def _certificates(path: Path, pem: bytes) -> list[Certificate]:
    """The certificates of a file, at least one."""
    try:
        blocks = pem_blocks(pem, CERTIFICATE)
    except MalformedCertificateError as error:
        raise IdentityError(path, str(error), _look_hint(path)) from None
    if not blocks:
        raise IdentityError(path, "it holds no certificate", _issue_hint(path))
    return [_certificate(path, number, block) for number, block in enumerate(blocks, 1)]


def _certificate(path: Path, number: int, der: bytes) -> Certificate:
    try:
        return Certificate.parse(der)
    except MalformedCertificateError as error:
        raise IdentityError(path, f"certificate {number}: {error}", _look_hint(path)) from None


def _check_chain(path: Path, chain: list[Certificate], now: float) -> SpiffeID:
    """Apply the rules of the peers to ourselves, so that the reason is in our own log."""
    if len(chain) > MAX_CHAIN:
        problem = f"{len(chain)} certificates are more than the {MAX_CHAIN} that a peer will walk"
        raise IdentityError(path, problem, "keep the leaf and its intermediates only")
    try:
        spiffe_id = check_workload(chain[0], now)
        for issuer in chain[1:]:
            check_time(issuer, now)
    except RefusedError as error:
        raise IdentityError(path, f"no peer would accept it: {error}", error.reason.fix) from None
    return spiffe_id


def _roots(path: Path, pem: bytes) -> list[Certificate]:
    """The trust bundle: one that nothing can be verified with trusts nothing, and is refused."""
    roots = [cert for cert in _certificates(path, pem) if cert.extensions.is_ca]
    if not roots:
        raise IdentityError(
            path, "it holds no CA certificate", "write the root there: `pki bundle`"
        )
    return roots


def _lists(path: Path, pem: bytes | None) -> list[Crl]:
    if pem is None:
        return []
    hint = "write current lists of all issuers: `pki crl`, or remove the file"
    try:
        found = [Crl.parse(block) for block in pem_blocks(pem, CRL)]
        strangers = pem_blocks(pem, CERTIFICATE)
    except MalformedCertificateError as error:
        raise IdentityError(path, str(error), hint) from None
    if strangers or not found:
        raise IdentityError(path, "it holds no CRL, or something else beside it", hint)
    return found


def _check_pair(path: Path, credentials: Credentials) -> None:
    """Let OpenSSL use it all; what can still be wrong here is the key."""
    try:
        server_context(credentials)
    except CredentialsError as error:
        hint = f"write {KEY} and {CHAIN} together, the key in PEM and not encrypted"
        raise IdentityError(path / KEY, str(error), hint) from None


# --- what deserves a word but is no reason to stop ---------------------------------------------


def _key_warnings(path: Path) -> list[str]:
    try:
        mode = path.stat().st_mode & 0o777
    except OSError:  # replaced this very moment; the next look at the folder will tell
        return []
    if not mode & 0o077:
        return []
    return [f"{path} has mode {mode:04o}: others than its owner may read the private key"]


def _chain_warnings(path: Path, chain: list[Certificate], roots: list[Certificate]) -> list[str]:
    for number, (cert, issuer) in enumerate(pairwise(chain), 1):
        if cert.issuer != issuer.subject:
            return [f"{path}: certificate {number + 1} did not issue certificate {number}"]
    if chain[-1].issuer not in {root.subject for root in roots}:
        return [f"{path}: the chain ends at {chain[-1].issuer_text}, which {TRUST} does not have"]
    return []


def _root_warnings(path: Path, roots: list[Certificate], now: float) -> list[str]:
    return [
        f"{path}: {root.subject_text} has expired, so all below it are refused"
        for root in roots
        if root.not_after < now
    ]


def _list_warnings(path: Path, chain: list[Certificate], lists: list[Crl], now: float) -> list[str]:
    if not lists:
        return []
    issuers = {crl.issuer for crl in lists}
    return [
        *(
            f"{path}: the list of {crl.issuer_text} has expired, so all that it issued is refused"
            for crl in lists
            if crl.next_update < now
        ),
        *(
            f"{path}: there is no list of {cert.issuer_text}, so all that it issued is refused"
            for cert in chain
            if cert.issuer not in issuers
        ),
        *(
            f"{path}: it revokes {cert.subject_text or 'the certificate of this workload'}"
            for cert in chain
            for crl in lists
            if cert.issuer == crl.issuer and cert.serial in crl.serials
        ),
    ]


def _rfc3339(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat().replace("+00:00", "Z")
