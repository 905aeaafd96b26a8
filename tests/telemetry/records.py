"""Records to render, and texts that want to break out of a line."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from sidecar.core.reasons import Reason
from sidecar.core.record import Record

EPOCH: Final = 1_763_935_435.25  # 2025-11-23T22:03:55.250Z

KEYS: Final = (
    "ts", "kind", "direction", "listener", "peer", "local", "method", "path", "protocol",
    "status", "flags", "rule", "bytes_in", "bytes_out", "duration_ms", "upstream_ms", "upstream",
    "request_id", "trace_id", "code",
)  # fmt: skip
TEXTS: Final = ("peer", "local", "method", "path", "protocol", "upstream", "request_id", "trace_id")

HOSTILE: Final = (
    '"}\n{"ts":"2025-11-23T22:03:55.250Z","kind":"http","path":"/forged"}\n{"x":"',
    "\r\n\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e",  # whatever some reader takes for a line end
    "\x1b[2J\x1b]0;owned\x07\x9b31m",  # terminal commands
    "\x00\x7f\\u0022\\",
    "/caf\xe9",  # latin-1
    b"/\xff\xfe\xed\xa0\x80".decode("utf-8", "surrogateescape"),  # lone surrogates
    "\U0001f980",
    "/" + "a" * 65536,
    '"' * 65536,
    "\x01" * 65536,
    "\U0001f980" * 65536,
)

texts: Final = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(codec=None, exclude_categories=()), max_size=80),
)


def exchange(**changes: object) -> Record:
    """Make the record of an ordinary exchange, with changes."""
    record = Record("http", "inbound", "web", EPOCH)
    ordinary = {
        "peer": "spiffe://demo.local/ns/shop/sa/frontend",
        "local": "spiffe://demo.local/ns/shop/sa/web",
        "method": "GET",
        "path": "/api/items/4711?limit=20",
        "protocol": "HTTP/1.1",
        "status": 200,
        "rule": "allow[0]",
        "bytes_in": 12,
        "bytes_out": 3456,
        "duration_s": 0.0012345,
        "upstream_s": 0.0009,
        "upstream": "127.0.0.1:8080",
        "request_id": "2f1b7b0e-7d0c-4f6c-9d7d-1c2f3a4b5c6d",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }
    for name, value in (ordinary | changes).items():
        setattr(record, name, value)
    return record


def tunnel(reason: Reason | None = None) -> Record:
    """Make the record of a tunnel that moved a little, or of a connection that was refused."""
    record = Record("tcp", "outbound", "orders", EPOCH)
    record.reason = reason
    record.bytes_in, record.bytes_out = 100, 200
    return record
