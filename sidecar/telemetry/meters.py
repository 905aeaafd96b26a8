"""What one listener counts: plain integers on one slotted object, because one loop needs no lock.

Every label value comes from a table or from the configuration, never from a peer: methods and
statuses outside the tables share one label each, reasons are the numbered ones, rules and
listeners are the operator's. So the number of series has a bound that no traffic can move
(threat 30).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sidecar.core.reasons import ALL, Reason
from sidecar.core.record import Direction, Record
from sidecar.telemetry.exposition import Histogram, Labels

# 0.5 ms is what a pair of sidecars costs on loopback, 60 s the longest usual time-out.
DURATION_BOUNDS_S: Final[tuple[float, ...]] = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip

# RFC 9110 section 9 and RFC 5789
_METHODS: Final = {
    name: name
    for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
}
# IANA's registry of status codes; 0 is an exchange that ended without an answer
_STATUSES: Final = {0: "-"} | {
    status: str(status)
    for status in (
        *range(100, 105), *range(200, 209), 226, *range(300, 309), *range(400, 419),
        *range(421, 427), 428, 429, 431, 451, *range(500, 509), 510, 511,
    )
}  # fmt: skip
_CLASSES: Final = {1: "1xx", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}
_OTHER: Final = "other"
_OK: Final = "ok"
_NONE: Final = "-"

Sample = tuple[Labels, int]


class ListenerMeter:
    """The counters of one listener; `labels` name it in each of its series."""

    __slots__ = (
        "_denials", "_handshakes", "_requests", "_tunnels", "bytes_in", "bytes_out",
        "connections_open", "connections_total", "durations", "labels", "upstream_durations",
    )  # fmt: skip

    def __init__(self, name: str, direction: Direction) -> None:
        self.labels: Final = {"listener": name, "direction": direction}
        self.connections_open = 0
        self.connections_total = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.durations: Final = Histogram(DURATION_BOUNDS_S)
        self.upstream_durations: Final = Histogram(DURATION_BOUNDS_S)
        self._requests: dict[tuple[str, str, str], int] = {}  # method, status, code
        self._tunnels: dict[str, int] = {}  # code
        self._handshakes: dict[str, int] = {_OK: 0}  # code
        self._denials: dict[tuple[str, str], int] = {}  # rule, code

    def opened(self) -> None:
        """A connection was accepted."""
        self.connections_open += 1
        self.connections_total += 1

    def closed(self) -> None:
        """A connection that was accepted is gone."""
        self.connections_open -= 1

    def handshake(self, reason: Reason | None) -> None:
        """A TLS handshake ended, well if there is no reason."""
        result = _OK if reason is None else reason.code
        self._handshakes[result] = self._handshakes.get(result, 0) + 1

    def done(self, record: Record) -> None:
        """An exchange or a tunnel ended."""
        reason = record.reason
        code = _NONE if reason is None else reason.code
        if record.kind == "http":
            self._exchange(record, code)
        else:
            self._tunnels[code] = self._tunnels.get(code, 0) + 1
        self.bytes_in += record.bytes_in
        self.bytes_out += record.bytes_out
        if reason is not None and reason.flag == "DENY":
            key = (record.rule or _NONE, code)
            self._denials[key] = self._denials.get(key, 0) + 1

    def _exchange(self, record: Record, code: str) -> None:
        status = record.status
        key = (
            _METHODS.get(record.method, _OTHER),
            _STATUSES.get(status) or _CLASSES.get(status // 100, _OTHER),
            code,
        )
        self._requests[key] = self._requests.get(key, 0) + 1
        self.durations.observe(record.duration_s)
        if record.upstream_s >= 0:
            self.upstream_durations.observe(record.upstream_s)

    def requests(self) -> Iterator[Sample]:
        """Exchanges by method, status and reason."""
        for (method, status, code), count in self._requests.items():
            labels = {"method": method, "status": status, **_reason_labels(code)}
            yield self.labels | labels, count

    def tunnels(self) -> Iterator[Sample]:
        """Tunnels, and connections that never became one, by reason."""
        for code, count in self._tunnels.items():
            yield self.labels | _reason_labels(code), count

    def handshakes(self) -> Iterator[Sample]:
        """TLS handshakes by result."""
        for result, count in self._handshakes.items():
            yield self.labels | {"result": result}, count

    def denials(self) -> Iterator[Sample]:
        """What policy refused, by the rule that did."""
        for (rule, code), count in self._denials.items():
            yield {"listener": self.labels["listener"], "rule": rule, "code": code}, count

    def moved(self) -> Iterator[Sample]:
        """Bytes from the clients and to them."""
        yield self.labels | {"way": "in"}, self.bytes_in
        yield self.labels | {"way": "out"}, self.bytes_out


def _reason_labels(code: str) -> dict[str, str]:
    return {"flags": _NONE if code == _NONE else ALL[code].flag, "code": code}
