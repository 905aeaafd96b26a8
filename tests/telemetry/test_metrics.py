"""What is counted, under which labels, and that nobody can make the labels grow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sidecar import __version__
from sidecar.core import reasons
from sidecar.core.record import Direction, Record
from sidecar.telemetry.accesslog import AccessLog
from sidecar.telemetry.metrics import Telemetry
from sidecar.telemetry.process import read_usage
from tests.telemetry.pipes import Pipe
from tests.telemetry.prometheus import Family, parse
from tests.telemetry.records import HOSTILE, exchange, tunnel

WEB = {"listener": "web", "direction": "inbound"}
ORDERS = {"listener": "orders", "direction": "outbound"}
FINE = {"flags": "-", "code": "-"}


def scrape(telemetry: Telemetry) -> dict[str, Family]:
    return parse(telemetry.render())


def test_exchange_is_counted_by_what_came_of_it() -> None:
    telemetry = Telemetry(None)
    telemetry.done(exchange())
    telemetry.done(exchange())
    telemetry.done(exchange(method="POST", status=403, reason=reasons.NOT_ALLOWED))
    requests = scrape(telemetry)["sidecar_requests_total"]
    assert requests.value(**WEB, **FINE, method="GET", status="200") == 2
    denied = {"flags": "DENY", "code": "MTLS-E202"}
    assert requests.value(**WEB, **denied, method="POST", status="403") == 1
    assert len(requests.samples) == 2


def test_exchange_is_timed_and_its_bytes_are_counted() -> None:
    telemetry = Telemetry(None)
    telemetry.done(exchange(duration_s=0.3, upstream_s=0.2))
    telemetry.done(exchange(duration_s=0.1, upstream_s=-1.0))
    families = scrape(telemetry)
    durations = families["sidecar_request_duration_seconds"]
    assert durations.value("_count", **WEB) == 2
    assert durations.value("_bucket", **WEB, le="0.1") == 1
    assert durations.value("_bucket", **WEB, le="0.5") == 2
    assert durations.value("_sum", **WEB) == pytest.approx(0.4)
    assert families["sidecar_upstream_duration_seconds"].value("_count", **WEB) == 1
    assert families["sidecar_bytes_total"].value(**WEB, way="in") == 24
    assert families["sidecar_bytes_total"].value(**WEB, way="out") == 6912


def test_tunnel_is_counted_apart_from_exchanges() -> None:
    telemetry = Telemetry(None)
    telemetry.done(tunnel())
    telemetry.done(tunnel(reasons.UPSTREAM_UNREACHABLE))
    families = scrape(telemetry)
    tunnels = families["sidecar_tunnels_total"]
    assert tunnels.value(**ORDERS, **FINE) == 1
    assert tunnels.value(**ORDERS, flags="UF", code="MTLS-E401") == 1
    assert not families["sidecar_requests_total"].samples
    assert families["sidecar_request_duration_seconds"].value("_count", **ORDERS) == 0
    assert families["sidecar_bytes_total"].value(**ORDERS, way="out") == 400


def test_connections_and_handshakes() -> None:
    telemetry = Telemetry(None)
    meter = telemetry.listener("web", "inbound")
    for _ in range(3):
        meter.opened()
    meter.closed()
    meter.handshake(None)
    meter.handshake(reasons.EXPIRED)
    meter.handshake(reasons.EXPIRED)
    families = scrape(telemetry)
    assert families["sidecar_connections_open"].value(**WEB) == 2
    assert families["sidecar_connections_total"].value(**WEB) == 3
    assert families["sidecar_handshakes_total"].value(**WEB, result="ok") == 1
    assert families["sidecar_handshakes_total"].value(**WEB, result="MTLS-E103") == 2


def test_denials_are_counted_by_rule_and_other_refusals_are_not() -> None:
    telemetry = Telemetry(None)
    telemetry.done(exchange(reason=reasons.DENIED, rule="deny[0]"))
    telemetry.done(exchange(reason=reasons.UNKNOWN_PEER, rule=""))
    telemetry.done(exchange(reason=reasons.BAD_REQUEST, rule=""))
    telemetry.done(exchange(rule="allow[0]"))
    denials = scrape(telemetry)["sidecar_denials_total"]
    assert denials.value(listener="web", rule="deny[0]", code="MTLS-E203") == 1
    assert denials.value(listener="web", rule="-", code="MTLS-E201") == 1
    assert len(denials.samples) == 2


def test_a_listener_has_one_meter_and_each_direction_its_own() -> None:
    telemetry = Telemetry(None)
    meter = telemetry.listener("web", "inbound")
    assert telemetry.listener("web", "inbound") is meter
    assert telemetry.listener("web", "outbound") is not meter
    assert telemetry.listener("api", "inbound") is not meter


def test_a_new_listener_shows_zeroes_at_once() -> None:
    telemetry = Telemetry(None)
    telemetry.listener("web", "inbound")
    families = scrape(telemetry)
    assert families["sidecar_connections_open"].value(**WEB) == 0
    assert families["sidecar_handshakes_total"].value(**WEB, result="ok") == 0
    assert families["sidecar_request_duration_seconds"].value("_count", **WEB) == 0


@pytest.mark.parametrize(
    ("method", "label"),
    [("GET", "GET"), ("PATCH", "PATCH"), ("get", "other"), ("PROPFIND", "other"), ("", "other")],
)
def test_methods_outside_the_table_share_a_label(method: str, label: str) -> None:
    telemetry = Telemetry(None)
    telemetry.done(exchange(method=method))
    requests = scrape(telemetry)["sidecar_requests_total"]
    assert requests.value(**WEB, **FINE, method=label, status="200") == 1


@pytest.mark.parametrize(
    ("status", "label"),
    [(0, "-"), (101, "101"), (200, "200"), (299, "2xx"), (511, "511"), (599, "5xx"), (999, "other"),
     (99, "other"), (-1, "other")],
)  # fmt: skip
def test_statuses_outside_the_registry_share_a_label(status: int, label: str) -> None:
    telemetry = Telemetry(None)
    telemetry.done(exchange(status=status))
    requests = scrape(telemetry)["sidecar_requests_total"]
    assert requests.value(**WEB, **FINE, method="GET", status=label) == 1


def hostile(number: int) -> Record:
    """Make an exchange in which each thing that the other side chooses is new."""
    text = f"{HOSTILE[number % 7]}{number}"
    return exchange(
        method=text, path=text, peer=text, protocol=text, upstream=text, request_id=text,
        trace_id=text, status=number % 2000,
    )  # fmt: skip


def test_threat_30_metrics_cardinality() -> None:
    """100,000 exchanges, all different, make no more series than the status table allows."""
    telemetry = Telemetry(None)
    for number in range(100_000):
        telemetry.done(hostile(number))
    families = scrape(telemetry)
    assert sum(families["sidecar_requests_total"].samples.values()) == 100_000
    assert len(families["sidecar_requests_total"].samples) <= 80
    assert sum(len(family.samples) for family in families.values()) < 200


def test_reloads_and_generation() -> None:
    telemetry = Telemetry(None)
    telemetry.reloaded(ok=True)
    telemetry.reloaded(ok=False)
    telemetry.reloaded(ok=False)
    telemetry.generation = 7
    families = scrape(telemetry)
    assert families["sidecar_reloads_total"].value(result="ok") == 1
    assert families["sidecar_reloads_total"].value(result="failed") == 2
    assert families["sidecar_config_generation"].value() == 7


def test_identity_shows_the_times_that_there_are() -> None:
    telemetry = Telemetry(None)
    assert not [name for name in scrape(telemetry) if name.endswith("_timestamp_seconds")]
    telemetry.identity(100.0, 200.5, bundle_not_after=300.0)
    families = scrape(telemetry)
    assert families["sidecar_certificate_not_before_timestamp_seconds"].value() == 100
    assert families["sidecar_certificate_expiry_timestamp_seconds"].value() == 200.5
    assert families["sidecar_trust_bundle_expiry_timestamp_seconds"].value() == 300
    assert "sidecar_crl_next_update_timestamp_seconds" not in families
    telemetry.identity(100.0, 200.5, 300.0, crl_next_update=150.0)
    assert scrape(telemetry)["sidecar_crl_next_update_timestamp_seconds"].value() == 150


@pytest.mark.parametrize(("room", "dropped"), [(1 << 20, 0), (0, 1)])
def test_what_the_access_log_drops_is_counted(room: int, dropped: int) -> None:
    with Pipe() as pipe:
        log = AccessLog(pipe.fd, room)
        telemetry = Telemetry(log)
        telemetry.done(exchange())
        telemetry.settle()
        log.close()
        assert len(pipe.rest()) == 1 - dropped
    assert scrape(telemetry)["sidecar_log_dropped_total"].value() == dropped


def test_process_and_build() -> None:
    families = scrape(Telemetry(None))
    ((_, labels),) = families["sidecar_build_info"].samples
    assert dict(labels)["version"] == __version__
    assert families["process_start_time_seconds"].value() > 1_600_000_000
    assert families["process_resident_memory_bytes"].value() > 1_000_000
    assert 3 <= families["process_open_fds"].value() <= families["process_max_fds"].value()


def test_a_process_name_cannot_shift_the_fields(tmp_path: Path) -> None:
    (tmp_path / "fd").mkdir()
    numbers = " ".join(str(number) for number in range(4, 53))
    (tmp_path / "stat").write_text(f"1 (a) R 1 (b\n) S {numbers}\n")
    usage = read_usage(tmp_path)
    assert usage is not None
    assert usage.cpu_s == (14 + 15) / os.sysconf("SC_CLK_TCK")
    assert usage.resident_bytes == 24 * os.sysconf("SC_PAGE_SIZE")


def test_without_proc_there_are_no_process_metrics(tmp_path: Path) -> None:
    assert read_usage(tmp_path) is None


def test_both_directions_of_one_name_are_two_series() -> None:
    telemetry = Telemetry(None)
    directions: tuple[Direction, ...] = ("inbound", "outbound")
    for direction in directions:
        telemetry.done(exchange(direction=direction))
    assert len(scrape(telemetry)["sidecar_requests_total"].samples) == 2


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200])
def test_records_are_worked_off_together_and_none_is_lost(count: int) -> None:
    with Pipe() as pipe:
        log = AccessLog(pipe.fd)
        telemetry = Telemetry(log)
        for _ in range(count):
            telemetry.done(exchange())
        telemetry.settle()
        telemetry.settle()
        log.close()
        assert len(pipe.rest()) == count
    if count:
        assert sum(scrape(telemetry)["sidecar_requests_total"].samples.values()) == count
