"""What telemetry costs: one record counted, one line written, one scrape.

    python -m tests.bench.telemetry [--json]

Each figure is the best of several runs in CPU time of the whole process, so the line that goes to
/dev/null holds the share of the writing thread too. The other ways to make a line are there to
show why the one that is used was chosen; they take honest text only.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import Final

from sidecar.core import reasons
from sidecar.core.record import Record
from sidecar.telemetry.accesslog import AccessLog, render, timestamp
from sidecar.telemetry.metrics import Telemetry
from sidecar.telemetry.oplog import LineFormatter
from tests.telemetry.records import KEYS, exchange

ROUNDS: Final = 7
ROUND_S: Final = 0.05
USUAL: Final = exchange()


def best_ns(work: Callable[[], object]) -> float:
    """CPU time of one call, in nanoseconds."""
    calls = 1
    while (spent := cpu_s(work, calls)) < ROUND_S / 2:
        calls *= 2
    return min(spent, *(cpu_s(work, calls) for _ in range(ROUNDS))) / calls * 1e9


def cpu_s(work: Callable[[], object], calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        work()
    return time.process_time() - start


def values(record: Record) -> tuple[object, ...]:
    """Return what a line shows, in the order of its keys."""
    return (
        timestamp(record.started), record.kind, record.direction, record.listener, record.peer,
        record.local, record.method, record.path, record.protocol, record.status, "-", record.rule,
        record.bytes_in, record.bytes_out, round(record.duration_s * 1e3, 3),
        round(record.upstream_s * 1e3, 3), record.upstream, record.request_id, record.trace_id, "-",
    )  # fmt: skip


def by_dumps() -> bytes:
    return json.dumps(dict(zip(KEYS, values(USUAL), strict=True)), separators=(",", ":")).encode()


def by_format() -> bytes:
    r = USUAL
    return (
        f'{{"ts":"{timestamp(r.started)}","kind":"{r.kind}","direction":"{r.direction}",'
        f'"listener":{quoted(r.listener)},"peer":{quoted(r.peer)},"local":{quoted(r.local)},'
        f'"method":{quoted(r.method)},"path":{quoted(r.path)},"protocol":{quoted(r.protocol)},'
        f'"status":{r.status},"flags":"-","rule":{quoted(r.rule)},"bytes_in":{r.bytes_in},'
        f'"bytes_out":{r.bytes_out},"duration_ms":{r.duration_s * 1e3:.3f},'
        f'"upstream_ms":{r.upstream_s * 1e3:.3f},"upstream":{quoted(r.upstream)},'
        f'"request_id":{quoted(r.request_id)},"trace_id":{quoted(r.trace_id)},"code":"-"}}'
    ).encode("ascii")


def busy(listeners: int) -> Telemetry:
    """Make counters with some 40 different exchanges on each listener."""
    telemetry = Telemetry(None)
    for number in range(listeners):
        for status in (200, 204, 301, 403, 404, 500, 503):
            for method in ("GET", "POST", "PUT"):
                for reason in (None, reasons.UNKNOWN_PEER):
                    changes = {"method": method, "status": status, "reason": reason}
                    telemetry.done(exchange(listener=f"listener-{number}", **changes))
    return telemetry


def operational() -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": "accept failed", "levelname": "WARNING"})
    made.fields = {"listener": "web", "error": "Too many open files", "retry_s": 0.5}
    return made


def measure() -> dict[str, float]:
    """Return nanoseconds by what was done."""
    counters, long, other = Telemetry(None), exchange(path="/" * 65536), exchange(path="/caf\xe9")
    plain, scraped = LineFormatter("json"), busy(10)
    note = operational()
    figures = {
        "count a record": best_ns(lambda: counters.done(USUAL)),
        "render a line": best_ns(lambda: render(USUAL)),
        "  as a formatted string": best_ns(by_format),
        "  with json.dumps": best_ns(by_dumps),
        "render a line that is not ASCII": best_ns(lambda: render(other)),
        "render a line with a path of 64 KiB": best_ns(lambda: render(long)),
        "render an operational line": best_ns(lambda: plain.format(note)),
        "scrape 10 listeners, 420 exchanges": best_ns(scraped.render),
    }
    with Path(os.devnull).open("wb") as sink:
        log = AccessLog(sink.fileno(), limit_bytes=1 << 32)
        logged = Telemetry(log)
        figures["count a record and log it"] = best_ns(lambda: logged.done(USUAL))
        log.close(60)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what telemetry costs.")
    parser.add_argument("--json", action="store_true", help="print one object of nanoseconds")
    as_json = parser.parse_args().json
    figures = measure()
    if as_json:
        print(json.dumps({name.strip(): round(ns) for name, ns in figures.items()}))
        return
    for name, ns in figures.items():
        print(f"{name:<40}{ns / 1e3:>10,.2f} µs")


if __name__ == "__main__":
    main()
