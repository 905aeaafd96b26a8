"""Records of certificates without certificates: cheap enough for a hundred thousand."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any

from pki.lint import Role
from tests.pki.kit import DAY, NOW

_numbers = itertools.count(1)


def issue_row(
    path: str,
    *,
    role: Role = Role.LEAF,
    start: datetime = NOW,
    end: datetime = NOW + DAY,
    issuer: str = "issuer",
) -> dict[str, Any]:
    """What `pki.view.issue_record` makes, for an ID with this path, with no certificate in it."""
    return {
        "event": "issue",
        "at": int(start.timestamp()),
        "role": role.value,
        "serial": f"{next(_numbers):040x}",
        "issuer": issuer,
        "spiffe_id": f"spiffe://demo.local{path}",
        "dns": [],
        "ips": [],
        "key_type": "p256",
        "not_before": int(start.timestamp()),
        "not_after": int(end.timestamp()),
        "ttl": int((end - start).total_seconds()),
        "der": "",
    }
