"""The steps, in order. Each acts on the shop, shows what it does, and says what it came to.

What a step came to is one short text, compared with the one that was expected. The code in it is
not what the client was told but what the sidecar of the orders service wrote into its access log.
"""

from __future__ import annotations

import http.client
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from examples.demo import clients
from examples.demo.processes import DemoError, until
from examples.demo.shop import Line, Shop, spiffe_id
from examples.demo.summary import Result
from examples.demo.ui import Console
from sidecar.core.reasons import ALL

_AT_LEAST: Final = 50  # requests before and after each change of a certificate


@dataclass(slots=True)
class Story:
    """The steps so far: the log lines that they left."""

    shop: Shop
    console: Console
    lines: list[Line] = field(default_factory=list)

    def tell(self) -> list[Result]:
        """Take every step, also after one that went wrong."""
        return [self._take(number, step) for number, step in enumerate(STEPS, 1)]

    def _take(self, number: int, step: Step) -> Result:
        self.console.heading(f"{number}. {step.title}")
        self.console.prose(step.why)
        try:
            seen = step.act(self)
        except (DemoError, OSError, http.client.HTTPException, ValueError) as error:
            seen = f"{type(error).__name__}: {error}"
        result = Result(number, step.title, step.expected, seen)
        if result.ok:
            self.console.field("ok", seen, "green")
        else:
            self.console.field("WRONG", f"{seen}\nexpected: {step.expected}", "red")
        return result

    def request(self, text: str) -> None:
        self.console.field("request", text, "cyan")

    def answer(self, text: str) -> None:
        self.console.field("answer", text)

    def code_of(self, line: Line) -> str:
        """Keep a line for the end; show and return its code, "" where all was well."""
        self.lines.append(line)
        code = str(line["code"])
        if code == "-":
            return ""
        self.console.field("code", f"{code}: {ALL[code].title}", "yellow")
        return code


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to show, and why it matters in one sentence."""

    title: str
    why: str
    expected: str
    act: Callable[[Story], str]


# --- what is asked over HTTP ---


def _allowed(story: Story) -> str:
    return _call(story, "frontend_app", "/", "demo-allowed")


def _denied_path(story: Story) -> str:
    return _call(story, "frontend_app", "/ledger", "demo-denied-path")


def _denied_identity(story: Story) -> str:
    return _call(story, "intruder_out", "/api/orders", "demo-denied-identity")


def _call(story: Story, port: str, path: str, request_id: str) -> str:
    """Ask, and find the line of the orders sidecar by the request id that went through."""
    shop = story.shop
    story.request(f"GET http://127.0.0.1:{shop.ports[port]}{path}")
    since = shop.log_end()
    answer = clients.get(shop.ports[port], path, request_id)
    story.answer(f"{answer.status} {answer.body.strip()}")
    code = story.code_of(shop.log_line(since, request_id=request_id))
    return f"{answer.status} {code}".strip()


# --- who is not even let in ---


def _no_certificate(story: Story) -> str:
    port = story.shop.ports["orders_mtls"]
    story.request(f"TLS handshake with 127.0.0.1:{port}, no client certificate")
    context = clients.client_context(story.shop.root)
    return _turned_away(story, lambda: clients.refusal(port, context))


def _plain_text(story: Story) -> str:
    port = story.shop.ports["orders_mtls"]
    story.request(f"GET http://127.0.0.1:{port}/api/orders")
    return _turned_away(story, lambda: clients.refusal_of_plain_text(port))


def _turned_away(story: Story, knock: Callable[[], str]) -> str:
    """Knock, and find the line of a connection that never became a request."""
    since = story.shop.log_end()
    words = knock()
    story.answer(words or "let in")
    if not words:
        return "let in"
    return f"refused {story.code_of(story.shop.log_line(since, kind='tcp'))}"


# --- keys that come and go ---


def _rotation(story: Story) -> str:
    shop, console = story.shop, story.console
    port = shop.ports["frontend_app"]
    story.request(f"GET http://127.0.0.1:{port}/ without a break, and meanwhile:")
    shutil.copytree(shop.certs("frontend"), shop.certs("stolen"), symlinks=True)
    traffic = clients.Traffic(port, "/")
    with console.progress("asking and renewing", lambda: f"{traffic.sent} requests, "), traffic:
        _let_pass(traffic)
        servers = _renew(story, "orders", lambda: _server_serial(shop))
        _let_pass(traffic)
        callers = _renew(story, "frontend", lambda: _client_fingerprint(shop))
        _let_pass(traffic)
    story.answer(f"{traffic.sent} requests, {len(traffic.failures)} failed")
    story.answer(f"serial of orders on the wire: {_first_then(servers)}")
    story.answer(f"fingerprint of frontend on the wire: {_first_then(callers)}")
    for failure in traffic.failures[:3]:
        story.answer(f"failed: {failure}")
    changed = sum(before != after for before, after in (servers, callers))
    return f"{len(traffic.failures)} failed, {changed} new certificates seen"


def _first_then(pair: tuple[str, str]) -> str:
    """Two long numbers, as far as one needs them to see that they differ."""
    return "{:.16}..., then {:.16}...".format(*pair)


def _let_pass(traffic: clients.Traffic) -> None:
    enough = traffic.sent + _AT_LEAST
    until(lambda: traffic.sent >= enough, f"{_AT_LEAST} more requests")


def _renew(story: Story, workload: str, look: Callable[[], str]) -> tuple[str, str]:
    """Renew a certificate in its folder and wait until the other one is on the wire."""
    before = look()
    story.shop.pki("renew", "--dir", "ca", f"certs/{workload}")
    until(lambda: look() != before, f"the new certificate of {workload} on the wire")
    return before, look()


def _server_serial(shop: Shop) -> str:
    """The serial that the orders sidecar shows to whoever connects."""
    context = clients.client_context(shop.root, shop.certs("frontend"))
    return clients.serial_on_the_wire(shop.ports["orders_mtls"], context)


def _client_fingerprint(shop: Shop) -> str:
    """The frontend's certificate as the orders application was told of it."""
    asked_by = clients.get(shop.ports["frontend_app"], "/").json()["asked_by"]
    return str(asked_by).partition("Hash=")[2].partition(";")[0]


def _stolen_key(story: Story) -> str:
    shop, port = story.shop, story.shop.ports["orders_mtls"]
    shop.pki("revoke", "--dir", "ca", "certs/stolen", "--reason", "keyCompromise")
    shop.pki("crl", "--dir", "ca", "--out", "certs/orders/crl.pem")
    until(
        lambda: shop.identity("orders")["checks_revocation"], "the orders sidecar to read the CRL"
    )
    story.request(f"TLS handshake with 127.0.0.1:{port}, the frontend's certificate of before")
    context = clients.client_context(shop.root, shop.certs("stolen"))
    outcome = _turned_away(story, lambda: clients.refusal(port, context))
    status = clients.get(shop.ports["frontend_app"], "/").status
    story.answer(f"{status} to the frontend itself, which has its new key")
    return f"{outcome}, frontend {status}"


# --- what is left to read ---


def _access_log(story: Story) -> str:
    story.request("orders.log, one JSON object a line; some of its keys:")
    head = ("status", "flags", "code", "peer", "request", "rule", "ms")
    story.console.table(head, [log_row(line) for line in story.lines])
    refused = [line for line in story.lines if line["code"] != "-"]
    return f"{len(story.lines)} lines, {len(refused)} with a code"


def log_row(line: Line) -> tuple[str, ...]:
    """The keys of an access-log line that tell a person most."""
    asked = "-" if line["method"] == "-" else f"{line['method']} {line['path']}"
    return (
        str(line["status"] or "-"),
        line["flags"],
        line["code"],
        line["peer"].removeprefix(spiffe_id("")) or "-",
        asked,
        line["rule"],
        f"{line['duration_ms']:.1f}",
    )


STEPS: Final = (
    Step(
        "An allowed call",
        "Two applications that speak plain HTTP on loopback talk to each other over mutual TLS, "
        "and the one that is asked learns who asks: nobody had to change a line of code.",
        "200",
        _allowed,
    ),
    Step(
        "A path that is denied",
        "The frontend may read /api/**, but a deny rule keeps /api/internal/** from everybody: a "
        "good caller with a bug, or a hostile one, gets no further than its rule.",
        "403 MTLS-E203",
        _denied_path,
    ),
    Step(
        "An identity that is not allowed",
        "The intruder has a good certificate of the same CA and asks for an allowed path: being "
        "inside of the network, or of the trust domain, is not enough.",
        "403 MTLS-E201",
        _denied_identity,
    ),
    Step(
        "A client without a certificate",
        "Encryption alone lets nobody in: the handshake ends with an alert that says why, and the "
        "application never hears of it.",
        "refused MTLS-E101",
        _no_certificate,
    ),
    Step(
        "Plain text on the mTLS port",
        "There is no way to fall back to plain text, by mistake or on purpose.",
        "refused MTLS-E120",
        _plain_text,
    ),
    Step(
        "A certificate rotation under traffic",
        "Certificates live for a day, so changing them must cost nothing: both ends get new ones "
        "while requests flow, and not one request fails.",
        "0 failed, 2 new certificates seen",
        _rotation,
    ),
    Step(
        "A stolen key, revoked",
        "The frontend's key of before has leaked: a revocation list in the folder locks it out at "
        "once, while the frontend goes on with its new one.",
        "refused MTLS-E105, frontend 200",
        _stolen_key,
    ),
    Step(
        "What the access log says of all that",
        "Whoever is called at night finds out who asked for what, which rule decided and why: "
        "`sidecar explain CODE` says what helps.",
        "6 lines, 5 with a code",
        _access_log,
    ),
)
