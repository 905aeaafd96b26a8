"""What is known when an exchange or a tunnel has ended, and nothing that is not.

Filled in by the data path as things happen, handed over once at the end; the access log and the
metrics are two views of it. Mutable and slotted because one is made for every request.
"""

from __future__ import annotations

from typing import Literal

from sidecar.core.reasons import Reason

Kind = Literal["http", "tcp"]
Direction = Literal["inbound", "outbound"]


class Record:
    """One line of the access log, before it is text.

    `started` is seconds since the epoch, durations are seconds (`upstream_s` is negative where
    no upstream answered), `bytes_in` counts what came from the client (bodies of an exchange,
    everything of a tunnel) and `bytes_out` what went to it. Strings that a peer chose are kept
    as they came; whoever renders them escapes them.
    """

    __slots__ = (
        "bytes_in", "bytes_out", "direction", "duration_s", "kind", "listener", "local", "method",
        "path", "peer", "protocol", "reason", "request_id", "rule", "started", "status",
        "trace_id", "upstream", "upstream_s",
    )  # fmt: skip

    def __init__(self, kind: Kind, direction: Direction, listener: str, started: float) -> None:
        self.kind = kind
        self.direction = direction
        self.listener = listener
        self.started = started
        self.peer = ""  # SPIFFE ID at the mTLS end, "" while unknown
        self.local = ""  # this workload's SPIFFE ID
        self.method = ""
        self.path = ""
        self.protocol = ""  # HTTP/1.1, or the TLS version of a tunnel
        self.status = 0
        self.reason: Reason | None = None  # None: all went well
        self.rule = ""
        self.bytes_in = 0
        self.bytes_out = 0
        self.duration_s = 0.0
        self.upstream_s = -1.0
        self.upstream = ""  # address dialled
        self.request_id = ""
        self.trace_id = ""
