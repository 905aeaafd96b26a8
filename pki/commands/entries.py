"""Entries of the index as JSON values and as words, the same for every command."""

from __future__ import annotations

from datetime import datetime, timedelta

from pki.text import span, timestamp
from pki.view import Entry


def as_json(entry: Entry) -> dict[str, object]:
    """An entry as `--json` prints it."""
    return {
        "seq": entry.seq,
        "serial": entry.serial,
        "role": str(entry.role),
        "spiffe_id": entry.spiffe_id,
        "dns": list(entry.dns),
        "ips": list(entry.ips),
        "key_type": entry.key_type,
        "issuer": entry.issuer,
        "not_before": timestamp(entry.not_before),
        "not_after": timestamp(entry.not_after),
        "issued_at": timestamp(entry.issued_at),
        "revoked_at": timestamp(entry.revoked_at) if entry.revoked_at else None,
        "reason": entry.reason,
    }


def state(entry: Entry, now: datetime) -> str:
    """Is it good, and for how long: `23 h 59 min left`, `revoked`, `expired 2 d ago`."""
    if entry.revoked_at is not None:
        return "revoked"
    left = entry.not_after - now
    return f"{span(left)} left" if left >= timedelta(0) else f"expired {span(left)} ago"
