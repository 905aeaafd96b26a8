"""Signals, drains and clocks: what must go on goes on, what must end ends."""

from __future__ import annotations

import signal
import time

import pytest

from examples.demo.ports import reserved
from tests.e2e.apps import WebApplication
from tests.e2e.clients import Http, plain, secure
from tests.e2e.harness import Sidecar, Site, inbound, spiffe, until
from tests.threats.kit import is_ended, refusal_code, weak


@pytest.fixture
def mortal(site: Site, web: WebApplication) -> Sidecar:
    """A sidecar that the test may end."""
    return site.sidecar("web", {"inbound": [inbound("open", web)]})


def refuses(port: int) -> bool:
    try:
        plain(port).close()
    except ConnectionRefusedError:
        return True
    return False


def test_threat_42_an_open_request_is_finished_and_no_new_one_begun(
    mortal: Sidecar, site: Site, web: WebApplication
) -> None:
    port = mortal.port("open")
    with Http(secure(port, weak(site.leaf("frontend")))) as http:
        http.send(b"GET /gate HTTP/1.1\r\nhost: a\r\n\r\n")
        until(lambda: web.waiting == 1)
        mortal.signal(signal.SIGTERM)
        until(lambda: mortal.admin("/readyz")[0] == 503)
        assert refuses(port)
        web.open_gate()
        answer = http.answer()
        assert (answer.status, answer.fields["connection"]) == (200, "close")
        assert http.is_closed()
    assert mortal.wait() == 0


def test_threat_42_what_does_not_finish_in_time_is_cut_and_said(
    site: Site, web: WebApplication
) -> None:
    """The twin: a request that never ends does not keep the process."""
    server = site.sidecar("web", {"inbound": [inbound("open", web)], "drain_timeout": "200ms"})
    server.expected_code = 1
    with Http(secure(server.port("open"), weak(site.leaf("frontend")))) as http:
        http.send(b"GET /gate HTTP/1.1\r\nhost: a\r\n\r\n")
        until(lambda: web.waiting == 1)
        log = server.watch()
        server.signal(signal.SIGTERM)
        assert server.wait() == 1
        (line,) = log.lines()
        assert (line["path"], line["flags"], line["code"]) == ("/gate", "DRAIN", "MTLS-E504")
    web.open_gate()
    until(lambda: web.waiting == 0)


def test_threat_42_a_hangup_during_the_drain_opens_nothing_again(
    mortal: Sidecar, site: Site, web: WebApplication
) -> None:
    port = mortal.port("open")
    with Http(secure(port, weak(site.leaf("frontend")))) as http:
        http.send(b"GET /gate HTTP/1.1\r\nhost: a\r\n\r\n")
        until(lambda: web.waiting == 1)
        mortal.signal(signal.SIGTERM)
        until(lambda: mortal.admin("/readyz")[0] == 503)
        with reserved("more") as ports:
            more = inbound("more", web) | {"listen": f"127.0.0.1:{ports['more']}"}
            mortal.configure(inbound=[*mortal.config["inbound"], more])
            mortal.signal(signal.SIGHUP)
            for _ in range(3):  # each answer is a turn of its loop
                assert mortal.admin("/readyz")[0] == 503
            assert refuses(ports["more"])
        assert refuses(port)
        web.open_gate()
        assert http.answer().status == 200
    assert mortal.wait() == 0


def test_threat_43_a_process_that_was_stopped_lets_nothing_live_too_long(
    mortal: Sidecar, site: Site
) -> None:
    """SIGSTOP past the end of a certificate: its connection ends, and it is let in no more."""
    short = site.ca.leaf(spiffe("frontend"), not_after=time.time() + 1)
    client = secure(mortal.port("open"), weak(short))
    mortal.signal(signal.SIGSTOP)
    try:
        time.sleep(max(0.0, short.cert.not_valid_after_utc.timestamp() + 0.2 - time.time()))
    finally:
        mortal.signal(signal.SIGCONT)
    assert is_ended(client)
    assert refusal_code(mortal, short) == "MTLS-E103"
