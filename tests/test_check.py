"""`sidecar check`: each fault that would show at run time is found, and its absence is not."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.check import Finding, Report, check, shake_hands, unreachable
from sidecar.config import Address
from sidecar.identity.files import read_folder
from tests.certs import HOUR, Leaf, TestCA
from tests.configs import text_of

WEB = "spiffe://demo.local/ns/shop/sa/web"
CA = TestCA("demo.local")


@pytest.fixture
def application() -> Iterator[int]:
    """The port of an application that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


class Place:
    """A folder with a configuration and an identity, for checks on it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.path = folder / "sidecar.yaml"
        self.data: dict[str, Any] = {
            "identity": {"dir": "certs"},
            "inbound": [
                {
                    "name": "web",
                    "listen": "127.0.0.1:0",
                    "forward": f"127.0.0.1:{port}",
                    "protocol": "http",
                    "allow": [{"from": ["spiffe://demo.local/**"]}],
                }
            ],
            "outbound": [
                {
                    "name": "orders",
                    "listen": "127.0.0.1:0",
                    "connect": [f"127.0.0.1:{port}"],
                    "expect": ["spiffe://demo.local/ns/shop/sa/orders"],
                    "protocol": "http",
                }
            ],
        }

    def has(self, leaf: Leaf, **files: Any) -> None:
        leaf.write_folder(self.folder / "certs", **files)

    def check(self, **options: Any) -> Report:
        self.path.write_text(text_of(self.data))
        return check(self.path, time.time(), **options)

    def finding(self) -> Finding:
        (finding,) = self.check().findings
        return finding


@pytest.fixture
def place(tmp_path: Path, application: int) -> Place:
    """A place at which all is well."""
    place = Place(tmp_path, application)
    place.has(CA.intermediate().leaf(WEB))
    return place


def test_where_all_is_well_nothing_is_found(place: Place) -> None:
    report = place.check()
    assert report.findings == ()
    assert report.ok
    assert report.identity is not None
    assert str(report.identity.spiffe_id) == WEB


# --- the file ----------------------------------------------------------------------------------


def test_every_problem_of_the_file_is_an_error_with_its_place(place: Place) -> None:
    place.data["inbound"][0]["listen"] = 9443
    place.data["identity"]["dirr"] = "x"
    report = place.check()
    assert not report.ok
    assert report.config is None
    assert [(finding.severity, finding.where) for finding in report.findings] == [
        ("error", f"{place.path}:3: identity.dirr"),
        ("error", f"{place.path}:6: inbound[0].listen"),
    ]
    assert report.findings[0].hint == "did you mean `dir`?"


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (finding,) = check(tmp_path / "sidecar.yaml", time.time()).findings
    assert finding.where == str(tmp_path / "sidecar.yaml")
    assert finding.message == "no such file or directory"


# --- the identity ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tls.crt", "tls.key", "ca.crt"])
def test_a_missing_file(place: Place, name: str) -> None:
    (place.folder / "certs" / name).unlink()
    finding = place.finding()
    assert (finding.severity, finding.where) == ("error", str(place.folder / "certs" / name))
    assert "no such file" in finding.message
    assert "pki issue" in finding.hint


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_key_that_may_not_be_read(place: Place) -> None:
    (place.folder / "certs" / "tls.key").chmod(0)
    finding = place.finding()
    assert finding.severity == "error"
    assert "may not be read" in finding.message


def test_a_key_of_another_certificate(place: Place) -> None:
    (place.folder / "certs" / "tls.key").write_bytes(CA.leaf(WEB).key_pem)
    finding = place.finding()
    assert finding.severity == "error"
    assert "does not belong to the certificate" in finding.message


@pytest.mark.parametrize(
    ("begin", "end", "code"), [(-2 * HOUR, -1, "MTLS-E103"), (HOUR, 2 * HOUR, "MTLS-E104")]
)
def test_a_certificate_out_of_time(place: Place, begin: float, end: float, code: str) -> None:
    now = time.time()
    place.has(CA.leaf(WEB, not_before=now + begin, not_after=now + end))
    finding = place.finding()
    assert finding.severity == "error"
    assert code in finding.message


def test_a_certificate_that_is_about_to_end_is_a_warning(place: Place) -> None:
    now = time.time()
    place.has(CA.leaf(WEB, not_before=now - 3.1 * HOUR, not_after=now + HOUR))
    report = place.check()
    assert report.ok
    assert report.findings[0].severity == "warning"
    assert "ends in 1.0 h" in report.findings[0].message


def test_a_certificate_in_the_middle_of_its_life_is_not(place: Place) -> None:
    now = time.time()
    place.has(CA.leaf(WEB, not_before=now - 2.9 * HOUR, not_after=now + HOUR))
    assert place.check().findings == ()


def test_another_trust_domain_than_the_configured_one(place: Place) -> None:
    place.data["identity"]["trust_domain"] = "other.local"
    report = place.check()
    assert not report.ok
    assert "is not in the trust domain other.local" in report.findings[0].message


def test_a_bundle_that_does_not_verify_the_own_chain(place: Place) -> None:
    place.has(CA.leaf(WEB))
    (place.folder / "certs" / "ca.crt").write_bytes(TestCA("demo.local").root.pem)
    errors = [finding for finding in place.check().findings if finding.severity == "error"]
    assert len(errors) == 1
    assert "this workload does not trust itself: MTLS-E102" in errors[0].message


def test_an_intermediate_that_is_not_sent(place: Place) -> None:
    leaf = CA.intermediate().leaf(WEB)
    place.has(leaf)
    (place.folder / "certs" / "tls.crt").write_bytes(leaf.pem)
    messages = [finding.message for finding in place.check().findings]
    assert any("MTLS-E102" in message for message in messages)


def test_a_certificate_that_the_own_list_revokes(place: Place) -> None:
    leaf = CA.leaf(WEB)
    place.has(leaf, crl=CA.crl([leaf]))
    errors = [finding for finding in place.check().findings if finding.severity == "error"]
    assert [finding.message.partition("MTLS-")[2][:4] for finding in errors] == ["E105"]


def test_a_list_that_revokes_another_is_fine(place: Place) -> None:
    place.has(CA.leaf(WEB), crl=CA.crl([CA.leaf(WEB)]))
    assert place.check().findings == ()


def test_a_key_that_others_may_read_is_a_warning(place: Place) -> None:
    (place.folder / "certs" / "tls.key").chmod(0o644)
    finding = place.finding()
    assert (finding.severity, finding.where) == ("warning", str(place.folder / "certs"))
    assert "mode 0644" in finding.message


def test_a_workload_shakes_hands_with_itself_or_says_why_not(tmp_path: Path) -> None:
    shake_hands(read_folder(CA.leaf(WEB).write_folder(tmp_path / "good")))
    bad = CA.leaf(WEB).write_folder(tmp_path / "bad")
    (bad / "ca.crt").write_bytes(TestCA("demo.local").root.pem)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(read_folder(bad))


# --- rules that can never match ----------------------------------------------------------------


def test_rules_about_a_foreign_trust_domain(place: Place) -> None:
    foreign = "spiffe://other.local/ns/*/sa/web"
    place.data["inbound"][0]["allow"][0]["from"].append(foreign)
    place.data["inbound"][0]["deny"] = [{"from": [foreign], "paths": ["/x"]}]
    place.data["outbound"][0]["expect"] = [foreign]
    report = place.check()
    assert not report.ok
    assert [finding.where.partition(": ")[2] for finding in report.findings] == [
        "inbound[0].allow[0].from[1]",
        "inbound[0].deny[0].from[0]",
        "outbound[0].expect[0]",
    ]
    assert all("never matches" in finding.message for finding in report.findings)


def test_the_file_alone_is_compared_with_the_configured_trust_domain(place: Place) -> None:
    place.data["identity"] = {"dir": "nowhere", "trust_domain": "other.local"}
    place.data["outbound"][0]["connect"] = ["nowhere.invalid:1"]
    report = place.check(file_only=True)
    assert len(report.findings) == 2
    place.data["identity"] = {"dir": "nowhere"}
    assert place.check(file_only=True).findings == ()
    assert not place.check().ok


# --- the network -------------------------------------------------------------------------------


@pytest.mark.parametrize("section", ["inbound", "outbound", "admin", "health"])
def test_a_port_that_is_in_use(place: Place, application: int, section: str) -> None:
    taken = f"127.0.0.1:{application}"
    if section in {"inbound", "outbound"}:
        place.data[section][0]["listen"] = taken
        place.data["inbound"][0]["forward"] = "unix:/nowhere.sock"
        place.data["outbound"][0]["connect"] = ["localhost:1"]
    else:
        place.data[section] = {"listen": taken}
    errors = [finding for finding in place.check().findings if finding.severity == "error"]
    assert len(errors) == 1
    assert errors[0].where.endswith((f"{section}[0].listen", f"{section}.listen"))
    assert errors[0].message == f"cannot listen on {taken}: Address already in use"
    assert "ss -ltnp" in errors[0].hint


def test_an_address_that_no_interface_has(place: Place) -> None:
    place.data["inbound"][0]["listen"] = "192.0.2.1:9443"
    finding = place.finding()
    assert finding.severity == "error"
    assert "0.0.0.0" in finding.hint


def lowest_free_port() -> int:
    """The first port that needs no privilege here; containers often have 0."""
    return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())


@pytest.mark.skipif(
    os.getuid() == 0 or lowest_free_port() <= 1, reason="every port may be bound here"
)
def test_a_privileged_port(place: Place) -> None:
    place.data["inbound"][0]["listen"] = "127.0.0.1:1"
    finding = place.finding()
    assert finding.severity == "error"
    assert "CAP_NET_BIND_SERVICE" in finding.hint


def test_ports_are_free_again_after_the_check(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    place.data["inbound"][0]["listen"] = f"127.0.0.1:{port}"
    assert place.check().ok
    assert place.check().ok


def test_a_socket_path_that_cannot_be_listened_on(place: Place) -> None:
    place.data["admin"] = {"listen": f"unix:{place.folder}/none/admin.sock"}
    assert "there is no folder" in place.finding().message
    (place.folder / "none").mkdir()
    assert place.check().findings == ()
    assert list((place.folder / "none").iterdir()) == []
    (place.folder / "none" / "admin.sock").write_text("a file")
    assert "another file is there" in place.finding().message


def test_a_next_hop_that_does_not_answer_is_a_warning(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    place.data["inbound"][0]["forward"] = f"127.0.0.1:{port}"
    place.data["outbound"][0]["connect"] += [f"127.0.0.1:{port}"]
    report = place.check()
    assert report.ok
    assert [
        (finding.severity, finding.where.partition(": ")[2]) for finding in report.findings
    ] == [
        ("warning", "inbound[0].forward"),
        ("warning", "outbound[0].connect[1]"),
    ]
    assert "connection refused" in report.findings[0].message


def test_an_application_socket_may_be_missing_until_the_application_starts(place: Place) -> None:
    path = place.folder / "app.sock"
    place.data["inbound"][0]["forward"] = f"unix:{path}"
    finding = place.finding()
    assert finding.severity == "warning"
    assert "no such file or directory" in finding.message
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert place.check().findings == ()


def test_a_name_that_nobody_knows_is_unreachable() -> None:
    assert unreachable(Address("nowhere.invalid", 1))
