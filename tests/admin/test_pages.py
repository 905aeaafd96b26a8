"""Who gets which page, and who gets none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.admin.pages import MAX_CONNECTIONS, Answer, Request, Scope, respond
from tests.fakes import FakeSubject

PATHS = ("/livez", "/readyz", "/metrics", "/config", "/identity", "/connections")
ACTIONS = ("/drain", "/quitquitquit")
HEALTH = ("/livez", "/readyz", "/metrics")


def ask(
    target: str,
    *,
    method: str = "GET",
    subject: FakeSubject | None = None,
    scope: Scope = "all",
    client: str = "127.0.0.1",
    headers: dict[str, str] | None = None,
) -> Answer:
    fields = {"host": "127.0.0.1:9440", **(headers or {})}
    return respond(Request(method, target, client, fields), subject or FakeSubject(), scope)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_page_is_there(path: str, method: str) -> None:
    answer = ask(path, method=method)
    assert answer.status == 200
    assert answer.body.endswith(b"\n")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
def test_a_page_is_read_only(path: str, method: str) -> None:
    answer = ask(path, method=method)
    assert (answer.status, answer.allow) == (405, "GET, HEAD")


@pytest.mark.parametrize(("path", "act"), [("/drain", "drain"), ("/quitquitquit", "quit")])
def test_an_action_is_a_post(path: str, act: str) -> None:
    subject = FakeSubject()
    assert ask(path, method="POST", subject=subject).status == 200
    assert subject.acts == [act]


@pytest.mark.parametrize("path", ACTIONS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_an_action_is_nothing_but_a_post(path: str, method: str) -> None:
    subject = FakeSubject()
    answer = ask(path, method=method, subject=subject)
    assert (answer.status, answer.allow) == (405, "POST")
    assert subject.acts == []


@pytest.mark.parametrize("path", [*PATHS, *ACTIONS])
def test_threat_31_the_health_port_shows_health_and_nothing_else(path: str) -> None:
    subject = FakeSubject()
    method = "POST" if path in ACTIONS else "GET"
    answer = ask(path, method=method, scope="health", subject=subject, client="10.0.0.9")
    assert answer.status == (200 if path in HEALTH else 404)
    assert subject.acts == []


@pytest.mark.parametrize("path", ["/", "", "/Livez", "/livez/", "//livez", "/livez;x", "/%6civez"])
def test_an_unknown_page_is_answered_with_those_that_there_are(path: str) -> None:
    answer = ask(path)
    assert answer.status == 404
    assert answer.body.decode().splitlines()[1:] == [*PATHS, *ACTIONS]
    assert ask(path, scope="health").body.decode().splitlines()[1:] == list(HEALTH)


@pytest.mark.parametrize(
    "client", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", ""], ids=repr
)
def test_threat_31_a_loopback_client_may_end_the_process(client: str) -> None:
    subject = FakeSubject()
    assert ask("/quitquitquit", method="POST", client=client, subject=subject).status == 200
    assert subject.acts == ["quit"]


@pytest.mark.parametrize(
    "client",
    [
        "10.0.0.1",
        "128.0.0.1",
        "1.127.0.0",
        "1270::1",
        "::",
        "::1:1",
        "fe80::1%lo",
        "::ffff:10.0.0.1",
    ],
)
def test_threat_31_no_other_client_may_end_the_process(client: str) -> None:
    subject = FakeSubject()
    assert ask("/quitquitquit", method="POST", client=client, subject=subject).status == 403
    assert subject.acts == []


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:9440", "127.0.0.1", "127.0.0.1:9440", "10.1.2.3:1",
     "[::1]", "[::1]:9440", "[FE80::1]:9440", "[::ffff:127.0.0.1]"],
)  # fmt: skip
def test_threat_32_the_admin_port_answers_to_its_address(host: str) -> None:
    assert ask("/config", headers={"host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:9440", "localhost.evil.example", "127.0.0.1.evil.example",
     "evil.example#127.0.0.1", "user@localhost", "localhost:", "localhost:9440:1", "localhost.",
     "127.0.0.1, 127.0.0.1", "127.1", "2130706433", "::1", "[::1", "[evil.example]",
     "\u017flocalhost", "localho\u017ft", "127.0.0.1\n", "\uff11\uff12\uff17.0.0.1"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/livez", "/nothing", "/drain"])
def test_threat_32_dns_rebinding(host: str, path: str) -> None:
    """A name that only DNS knows, or anything that might be one, gets nothing."""
    subject = FakeSubject()
    for method in ("GET", "POST"):
        answer = ask(path, method=method, headers={"host": host}, subject=subject)
        assert answer.status == 403
    assert subject.acts == []


def test_the_health_port_is_called_by_any_name() -> None:
    answer = ask("/metrics", scope="health", headers={"host": "pod.example:9446"})
    assert answer.status == 200


@pytest.mark.parametrize(
    "marks",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:9440"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none, cross-site"},
    ],
)
@pytest.mark.parametrize("scope", ["all", "health"])
def test_threat_32_requests_of_web_pages(marks: dict[str, str], scope: Scope) -> None:
    subject = FakeSubject()
    for method, path in (("POST", "/drain"), ("POST", "/quitquitquit"), ("GET", "/metrics")):
        answer = ask(path, method=method, headers=marks, scope=scope, subject=subject)
        assert answer.status == 403
    assert subject.acts == []


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_an_operator_may_use_a_browser(site: str) -> None:
    assert ask("/metrics", headers={"sec-fetch-site": site}).status == 200


def test_alive_and_not() -> None:
    subject = FakeSubject()
    assert ask("/livez", subject=subject) == Answer(200, b"ok\n")
    subject.alive = False
    assert ask("/livez", subject=subject) == Answer(503, b"not live\n")


def test_ready_and_why_not() -> None:
    subject = FakeSubject()
    assert ask("/readyz", subject=subject) == Answer(200, b"ok\n")
    subject.reasons = ["draining", "tls.crt: expired\nyesterday"]
    assert ask("/readyz", subject=subject) == Answer(
        503, b"draining\ntls.crt: expired; yesterday\n"
    )


@pytest.mark.parametrize(
    ("target", "accept"),
    [
        ("/readyz?format=json", ""),
        ("/readyz?a=b&format=json", "text/plain"),
        ("/readyz", "application/json"),
        ("/readyz", "text/html, application/json;q=0.9"),
    ],
)
def test_readiness_as_json_says_what_runs_and_what_failed(target: str, accept: str) -> None:
    subject = FakeSubject()
    subject.reasons = ["draining"]
    answer = ask(target, subject=subject, headers={"accept": accept})
    assert (answer.status, answer.content_type) == (503, "application/json")
    assert json.loads(answer.body) == {
        "ready": False,
        "reasons": ["draining"],
        "generation": 3,
        "last_failure": "line 7: no such key",
    }
    subject.reasons = []
    answer = ask(target, subject=subject, headers={"accept": accept})
    assert answer.status == 200
    assert json.loads(answer.body)["ready"] is True


def test_readiness_is_text_unless_somebody_asks() -> None:
    for target, accept in (("/readyz", "*/*"), ("/readyz?format=jsonx", "text/html")):
        answer = ask(target, headers={"accept": accept})
        assert answer.body == b"ok\n"


def test_metrics_are_passed_on_as_they_are() -> None:
    answer = ask("/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.body == FakeSubject().metrics()


@pytest.mark.parametrize("total", [0, 1, MAX_CONNECTIONS, MAX_CONNECTIONS + 1])
def test_connections_are_shown_up_to_a_bound(total: int) -> None:
    subject = FakeSubject()
    subject.open = total
    shown = json.loads(ask("/connections", subject=subject).body)
    assert shown["total"] == total
    assert len(shown["connections"]) == min(total, MAX_CONNECTIONS)


@pytest.mark.parametrize(
    "leak",
    [
        "-----BEGIN PRIVATE KEY-----\nAAAA",
        "x -----BEGIN EC PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----",
        b"\x30\x82",
        object(),
    ],
)
@pytest.mark.parametrize("path", ["/config", "/identity"])
def test_threat_41_key_material_is_never_shown(path: str, leak: object) -> None:
    subject = FakeSubject()
    subject.shown = {"deep": [{"down": leak}]}
    with pytest.raises((TypeError, ValueError)):
        ask(path, subject=subject)
    subject.shown = {"deep": [{"down": "/certs/tls.key"}]}
    assert ask(path, subject=subject).status == 200


@given(
    st.text(), st.text(), st.dictionaries(st.sampled_from(["host", "accept", "origin"]), st.text())
)
def test_any_request_has_an_answer_and_only_a_post_acts(
    method: str, target: str, headers: dict[str, str]
) -> None:
    subject = FakeSubject()
    answer = respond(Request(method, target, "127.0.0.1", headers), subject, "all")
    assert answer.status in {200, 403, 404, 405}
    assert not subject.acts or method == "POST"
