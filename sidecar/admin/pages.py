"""The pages: a request in, an answer out.

A browser on the operator's machine can reach a loopback port too, and any web page can make it
try (threats 31, 32). So nothing that carries the marks of another site's request is answered, the
admin listener wants to be called by an address or as localhost (a rebound DNS name is neither),
whatever acts is a POST, and ending the process is for loopback clients alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from sidecar.telemetry.exposition import CONTENT_TYPE as METRICS_TYPE

MAX_CONNECTIONS: Final = 1000  # shown by /connections
# A name that only DNS knows can be made to point here; an address and localhost cannot.
_LOCAL_HOST: Final = re.compile(
    r"(localhost|[0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\])(:[0-9]{1,5})?",
    re.ASCII | re.IGNORECASE,
)
_LOOPBACK: Final = re.compile(r"(::ffff:)?127\.|::1$|$")

Scope = Literal["all", "health"]
Facts = Mapping[str, object]


class Subject(Protocol):
    """What the pages are about. Facts are plain JSON values; none is ever key material."""

    def live(self) -> bool:
        """Whether the process works at all; if not, it is restarted."""

    def ready(self) -> Sequence[str]:
        """Why no traffic should come here, one line each; empty means that it may."""

    def status(self) -> Facts:
        """The generation that runs, and why the newest reload failed if it did."""

    def metrics(self) -> bytes:
        """The Prometheus text format."""

    def config_view(self) -> Facts:
        """The configuration in use."""

    def identity(self) -> Facts:
        """The certificate and the trust in use."""

    def connections(self, limit: int) -> tuple[int, Sequence[Facts]]:
        """How many connections there are, and the first `limit` of them."""

    def drain(self) -> None:
        """Let no new connection in and end when the open ones have."""

    def quit(self) -> None:
        """End now."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `client` is an IP address or "" (UNIX socket), header names are lower-case."""

    method: str
    target: str
    client: str
    headers: Mapping[str, str]

    @property
    def wants_json(self) -> bool:
        """Whether the client asked for JSON where text is the default."""
        query = self.target.partition("?")[2]
        accept = self.headers.get("accept", "")
        return "format=json" in query.split("&") or "application/json" in accept


@dataclass(frozen=True, slots=True)
class Answer:
    """One response; `allow` lists the methods that would have been right."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    allow: str = ""


@dataclass(frozen=True, slots=True)
class _Page:
    show: Callable[[Subject, Request], Answer]
    methods: tuple[str, ...] = ("GET", "HEAD")
    health: bool = False


def respond(request: Request, subject: Subject, scope: Scope) -> Answer:
    """Answer any request; what the subject raises is the caller's to handle."""
    if refusal := _refusal(request, scope):
        return _text(403, refusal)
    pages = _IN_SCOPE[scope]
    page = pages.get(request.target.partition("?")[0])
    if page is None:
        return _text(404, "no such page; there are:", *pages)
    if request.method not in page.methods:
        allow = ", ".join(page.methods)
        return Answer(405, f"use {allow}\n".encode(), allow=allow)
    return page.show(subject, request)


def _refusal(request: Request, scope: Scope) -> str:
    headers = request.headers
    if "origin" in headers or headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return "requests from web pages are refused"
    if scope == "all" and not _LOCAL_HOST.fullmatch(headers.get("host", "")):
        return "call this port by its address or as localhost, not by another name"
    return ""


def _live(subject: Subject, _: Request) -> Answer:
    return _text(200, "ok") if subject.live() else _text(503, "not live")


def _ready(subject: Subject, request: Request) -> Answer:
    reasons = ["; ".join(reason.splitlines()) for reason in subject.ready()]
    status = 503 if reasons else 200
    if request.wants_json:
        return _json({"ready": not reasons, "reasons": reasons, **subject.status()}, status)
    return _text(status, *(reasons or ["ok"]))


def _metrics(subject: Subject, _: Request) -> Answer:
    return Answer(200, subject.metrics(), METRICS_TYPE)


def _connections(subject: Subject, _: Request) -> Answer:
    total, shown = subject.connections(MAX_CONNECTIONS)
    return _json({"total": total, "connections": shown})


def _drain(subject: Subject, _: Request) -> Answer:
    subject.drain()
    return _text(200, "draining")


def _quit(subject: Subject, request: Request) -> Answer:
    if not _LOOPBACK.match(request.client):
        return _text(403, "only a loopback client may end the process")
    subject.quit()
    return _text(200, "bye")


def _text(status: int, *lines: str) -> Answer:
    return Answer(status, "".join(line + "\n" for line in lines).encode("utf-8", "replace"))


def _json(facts: Facts, status: int = 200) -> Answer:
    """Render facts; what is not plain JSON (bytes, objects) raises `TypeError`."""
    body = json.dumps(facts, indent=2).encode("ascii") + b"\n"
    if b"PRIVATE KEY-----" in body:
        raise ValueError("a page would have shown a private key")
    return Answer(status, body, "application/json")


_PAGES: Final = {
    "/livez": _Page(_live, health=True),
    "/readyz": _Page(_ready, health=True),
    "/metrics": _Page(_metrics, health=True),
    "/config": _Page(lambda subject, _: _json(subject.config_view())),
    "/identity": _Page(lambda subject, _: _json(subject.identity())),
    "/connections": _Page(_connections),
    "/drain": _Page(_drain, ("POST",)),
    "/quitquitquit": _Page(_quit, ("POST",)),
}
_IN_SCOPE: Final[Mapping[Scope, Mapping[str, _Page]]] = {
    "all": _PAGES,
    "health": {path: page for path, page in _PAGES.items() if page.health},
}
