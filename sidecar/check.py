"""What would fail when the sidecar runs, found before it does: `sidecar check`.

Each check is a function from values to findings, and each uses what the running proxy uses: the
same reader, the same identity loader, the same TLS contexts, the same way to open a port. A check
that imitates can be wrong in its own way. The chain is tried by a handshake of this workload with
itself, which is what every peer with the same trust bundle will do.

An error will fail for certain. A warning may mend itself (the application starts later) or is
somebody's choice.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pki.names import SpiffePattern
from sidecar.config import Address, Config, ConfigError, load
from sidecar.config.problem import Path as KeyPath
from sidecar.config.problem import show_path
from sidecar.config.tree import Node, build
from sidecar.identity.files import CHAIN, Identity, IdentityError, load_identity
from sidecar.net.contexts import Credentials, client_context, reason_of, server_context
from sidecar.net.listener import bind

Severity = Literal["error", "warning"]
PROBE_TIMEOUT_S: Final = 1.0
_ALARM_AT: Final = 0.75  # of a certificate's life; renewal begins at half of it
_FLIGHTS: Final = 8  # a handshake takes three; more means that it goes nowhere

_BIND_HINTS: Final = {
    errno.EADDRINUSE: "find who has it: `ss -ltnp`; if it is this sidecar, check with --file-only",
    errno.EACCES: "ports below 1024 are privileged: choose another, or give CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "no interface of this machine has that address; 0.0.0.0 means all",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that fails, or might: `where` is a file, with line and key if it has them."""

    severity: Severity
    where: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome: findings, and what there was to check as far as it could be read."""

    findings: tuple[Finding, ...]
    config: Config | None = None
    identity: Identity | None = None

    @property
    def ok(self) -> bool:
        """Whether there are no errors; warnings are allowed."""
        return not any(finding.severity == "error" for finding in self.findings)


def check(path: Path, now: float, *, file_only: bool = False) -> Report:
    """Check a configuration and all that it names; `now` is in seconds since the epoch.

    With `file_only` neither the identity nor the network is looked at: for a machine other than
    the one that it will run on.
    """
    try:
        config = load(path)
        places = _Places(path)
    except ConfigError as error:
        return Report(tuple(_problems(error)))
    if file_only:
        domain = config.identity.trust_domain
        return Report(tuple(_foreign(config, domain, places)), config)
    identity, findings = _identity(config, now)
    domain = identity.trust_domain if identity else config.identity.trust_domain
    findings += [*_foreign(config, domain, places), *_listeners(config, places)]
    findings += _reachable(config, places)
    return Report(tuple(findings), config, identity)


class _Places:
    """Says where in the file a key is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._root: Node = build(path.read_bytes(), str(path))

    def __getitem__(self, key: KeyPath) -> str:
        return f"{self._path}:{self._root.find(key).line}: {show_path(key)}"


def _problems(error: ConfigError) -> Iterator[Finding]:
    for problem in error.problems:
        where = str(problem).removesuffix(f": {problem.message}")
        yield Finding("error", where, problem.message, problem.hint)


# --- the identity ------------------------------------------------------------------------------


def _identity(config: Config, now: float) -> tuple[Identity | None, list[Finding]]:
    try:
        identity = load_identity(Path(config.identity.dir), now, config.identity.trust_domain)
    except IdentityError as error:
        message = str(error).removeprefix(f"{error.path}: ")
        return None, [Finding("error", str(error.path), message, error.hint)]
    folder = config.identity.dir
    warnings = [Finding("warning", folder, text) for text in identity.warnings]
    chain = str(Path(folder) / CHAIN)
    return identity, [*warnings, *_expiry(identity, chain, now), *_rehearsal(identity, chain)]


def _expiry(identity: Identity, where: str, now: float) -> Iterator[Finding]:
    begin, end = identity.leaf.not_before, identity.leaf.not_after
    if now > begin + _ALARM_AT * (end - begin):
        message = (
            f"the certificate ends in {(end - now) / 3600:.1f} h, and most of its life is over"
        )
        yield Finding("warning", where, message, "renew it: `pki renew`; is the renewal running?")


def _rehearsal(identity: Identity, where: str) -> Iterator[Finding]:
    try:
        shake_hands(identity.credentials)
    except ssl.SSLError as error:
        reason, detail = reason_of(error)
        message = f"this workload does not trust itself: {reason.code} {reason.title} ({detail})"
        yield Finding("error", where, message, reason.fix)


def shake_hands(credentials: Credentials) -> None:
    """Do a mutual handshake of a workload with itself, in memory, or raise `ssl.SSLError`."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(credentials).wrap_bio(back, there)
    server = server_context(credentials).wrap_bio(there, back, server_side=True)
    waiting = [client, server]
    for _ in range(_FLIGHTS):
        waiting = [side for side in waiting if not _advance(side)]
        if not waiting:
            return
    raise ssl.SSLError("the handshake does not end")


def _advance(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


# --- the rules ---------------------------------------------------------------------------------


def _foreign(config: Config, domain: str | None, places: _Places) -> Iterator[Finding]:
    """Patterns of another trust domain than the own: no peer of it is ever let in."""
    for key, pattern in _patterns(config):
        if domain is not None and pattern.trust_domain != domain:
            message = f"{pattern} never matches: all peers are of the trust domain {domain}"
            yield Finding("error", places[key], message, f"write spiffe://{domain}/...")


def _patterns(config: Config) -> Iterator[tuple[KeyPath, SpiffePattern]]:
    for index, inbound in enumerate(config.inbound):
        for effect, rules in (("allow", inbound.allow), ("deny", inbound.deny)):
            for number, rule in enumerate(rules):
                for position, pattern in enumerate(rule.from_):
                    yield ("inbound", index, effect, number, "from", position), pattern
    for index, outbound in enumerate(config.outbound):
        for position, pattern in enumerate(outbound.expect):
            yield ("outbound", index, "expect", position), pattern


# --- the network -------------------------------------------------------------------------------


def _listeners(config: Config, places: _Places) -> Iterator[Finding]:
    for key, address in _opened(config):
        try:
            _try_unix(address) if address.is_unix else bind(address).close()
        except OSError as error:
            message = error.strerror or str(error)
            yield Finding("error", places[key], message, _BIND_HINTS.get(error.errno or 0, ""))


def _opened(config: Config) -> Iterator[tuple[KeyPath, Address]]:
    for index, inbound in enumerate(config.inbound):
        yield ("inbound", index, "listen"), inbound.listen
    for index, outbound in enumerate(config.outbound):
        yield ("outbound", index, "listen"), outbound.listen
    if config.admin:
        yield ("admin", "listen"), config.admin.listen
    if config.health:
        yield ("health", "listen"), config.health.listen


def _try_unix(address: Address) -> None:
    """Raise OSError if no socket can be made there; making one would leave a trace."""
    folder, path = os.path.dirname(address.path), address.path
    if not os.path.isdir(folder):
        raise OSError(errno.ENOENT, f"cannot listen on {address}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(errno.EPERM, f"cannot listen on {address}: {folder} may not be written")
    if os.path.lexists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise OSError(errno.EEXIST, f"cannot listen on {address}: another file is there")


def _reachable(config: Config, places: _Places) -> Iterator[Finding]:
    """Try all next hops at once: each may take its time to be silent."""
    targets = list(_targets(config))
    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = list(pool.map(unreachable, [address for _, address, _ in targets]))
    for (key, address, hint), why in zip(targets, answers, strict=True):
        if why:
            yield Finding("warning", places[key], f"{address} does not answer: {why}", hint)


def _targets(config: Config) -> Iterator[tuple[KeyPath, Address, str]]:
    for index, inbound in enumerate(config.inbound):
        hint = "start the application; until then callers get 503"
        yield ("inbound", index, "forward"), inbound.forward, hint
    for index, outbound in enumerate(config.outbound):
        for position, address in enumerate(outbound.connect):
            hint = "is the other workload running, and the name right?"
            yield ("outbound", index, "connect", position), address, hint


def unreachable(address: Address) -> str:
    """Say why nothing accepts connections at an address; empty if something does."""
    try:
        if address.is_unix:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(PROBE_TIMEOUT_S)
                sock.connect(address.path)
        else:
            target = (address.host, address.port)
            socket.create_connection(target, timeout=PROBE_TIMEOUT_S).close()
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""
