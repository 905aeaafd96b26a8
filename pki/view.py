"""What the log says, as a table that can be searched: one row for each certificate.

Every record has an `event`:

    init     profile                      the CA begins; always record 1
    issue    role, serial, names, ... der a certificate was signed
    revoke   serial, reason               it is no longer good
    crl      issuer, number, sha256       a CRL was signed

and `at`, the second it was written. `apply` is the one way from a record to the table, for a
living index and for `differences`, which replays the whole log into an empty table and compares.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.keys import check_public_key, key_name
from pki.lint import Role
from pki.log import Damage, Record

SCHEMA: Final = """
CREATE TABLE certificates (
    seq INTEGER PRIMARY KEY, serial TEXT NOT NULL UNIQUE, role TEXT NOT NULL,
    spiffe_id TEXT NOT NULL, dns TEXT NOT NULL, ips TEXT NOT NULL, key_type TEXT NOT NULL,
    issuer TEXT NOT NULL, not_before INTEGER NOT NULL, not_after INTEGER NOT NULL,
    ttl INTEGER NOT NULL, issued_at INTEGER NOT NULL, revoked_at INTEGER, reason TEXT
) STRICT;
CREATE INDEX certificates_by_name ON certificates (spiffe_id);
CREATE INDEX certificates_by_end ON certificates (not_after);
CREATE INDEX certificates_of_cas ON certificates (role) WHERE role <> 'leaf';
CREATE INDEX certificates_revoked ON certificates (issuer, not_after)
    WHERE revoked_at IS NOT NULL;
"""

_INSERT: Final = "INSERT INTO certificates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)"


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate of the index. Times are aware UTC; `serial` is 40 hex digits, lower case.

    `spiffe_id` is the URI name as text (the trust domain's own for CA certificates), `issuer`
    the serial of the issuing certificate (its own for a root), `seq` the number of its log
    record, `ttl` the life time that was asked for. `revoked_at` and `reason` (an RFC 5280 name
    such as `keyCompromise`) are None while it is good.
    """

    seq: int
    serial: str
    role: Role
    spiffe_id: str
    dns: tuple[str, ...]
    ips: tuple[str, ...]
    key_type: str
    issuer: str
    not_before: datetime
    not_after: datetime
    ttl: timedelta
    issued_at: datetime
    revoked_at: datetime | None
    reason: str | None


def init_record(profile: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """The first record: what this CA issues."""
    return {"event": "init", "at": _epoch(at), "profile": dict(profile)}


def issue_record(
    certificate: x509.Certificate, role: Role, issuer: str | None, ttl: timedelta, at: datetime
) -> dict[str, Any]:
    """The record of a certificate; `issuer` is its issuer's serial, None for its own."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    serial = serial_text(certificate.serial_number)
    return {
        "event": "issue",
        "at": _epoch(at),
        "role": role.value,
        "serial": serial,
        "issuer": issuer or serial,
        "spiffe_id": names.get_values_for_type(x509.UniformResourceIdentifier)[0],
        "dns": names.get_values_for_type(x509.DNSName),
        "ips": list(map(str, names.get_values_for_type(x509.IPAddress))),
        "key_type": key_name(check_public_key(certificate.public_key())),
        "not_before": _epoch(certificate.not_valid_before_utc),
        "not_after": _epoch(certificate.not_valid_after_utc),
        "ttl": ttl // timedelta(seconds=1),
        "der": base64.b64encode(certificate.public_bytes(Encoding.DER)).decode(),
    }


def revoke_record(serial: str, reason: str, at: datetime) -> dict[str, Any]:
    """The record of a revocation."""
    return {"event": "revoke", "at": _epoch(at), "serial": serial, "reason": reason}


def crl_record(
    issuer: str, crl: x509.CertificateRevocationList, number: int, at: datetime
) -> dict[str, Any]:
    """The record of a CRL; `number` is its CRL number."""
    digest = hashlib.sha256(crl.public_bytes(Encoding.DER)).hexdigest()
    return {"event": "crl", "at": _epoch(at), "issuer": issuer, "number": number, "sha256": digest}


def certificate_of(data: Mapping[str, Any]) -> x509.Certificate:
    """The certificate in an `issue` record."""
    return x509.load_der_x509_certificate(base64.b64decode(data["der"], validate=True))


def serial_text(serial: int) -> str:
    """How a serial number is written everywhere: 40 hex digits, lower case."""
    return f"{serial:040x}"


def apply(db: sqlite3.Connection, data: Mapping[str, Any]) -> None:
    """Bring the table up to date with one record."""
    match data["event"]:
        case "issue":
            row = tuple(
                json.dumps(data[name]) if name in {"dns", "ips"} else data[name]
                for name in (
                    "seq", "serial", "role", "spiffe_id", "dns", "ips", "key_type", "issuer",
                    "not_before", "not_after", "ttl", "at",
                )
            )  # fmt: skip
            db.execute(_INSERT, row)
        case "revoke":
            db.execute(
                "UPDATE certificates SET revoked_at = ?, reason = ? WHERE serial = ?",
                (data["at"], data["reason"], data["serial"]),
            )
        case _:
            pass  # says nothing about a certificate


def entry(row: tuple[Any, ...]) -> Entry:
    """A row of the table as a value."""
    (seq, serial, role, spiffe_id, dns, ips, key_type, issuer, start, end, ttl, issued, revoked,
     reason) = row  # fmt: skip
    return Entry(
        seq,
        serial,
        Role(role),
        spiffe_id,
        tuple(json.loads(dns)),
        tuple(json.loads(ips)),
        key_type,
        issuer,
        _moment(start),
        _moment(end),
        timedelta(seconds=ttl),
        _moment(issued),
        None if revoked is None else _moment(revoked),
        reason,
    )


def differences(db: sqlite3.Connection, schema: str, records: Iterable[Record]) -> Iterator[Damage]:
    """Where `db` is not what `schema` and the records say it should be."""
    replay = sqlite3.connect(":memory:", isolation_level=None)
    try:
        replay.executescript(schema)
        if db.execute(_SHAPE).fetchall() != replay.execute(_SHAPE).fetchall():
            yield Damage(0, "the tables are not those that this program makes")
            return
        for record in records:
            apply(replay, record.data)
        for found, wanted in zip_longest(db.execute(_ROWS), replay.execute(_ROWS)):
            if found != wanted:
                seq = (wanted or found)[0]
                yield Damage(seq, f"the table says {found}, the log says {wanted}")
    finally:
        replay.close()


_SHAPE: Final = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
_ROWS: Final = "SELECT * FROM certificates ORDER BY seq"


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _epoch(moment: datetime) -> int:
    return int(moment.timestamp())
