"""The pure parts of the demo: tables, colours, results, ports."""

from __future__ import annotations

import io
import json
import socket
from typing import Any

import pytest

from examples.demo.ports import reserved
from examples.demo.processes import DemoError, until
from examples.demo.story import log_row
from examples.demo.summary import Result, is_ok, rows, to_json, verdict
from examples.demo.ui import Console, table_lines, wants_colour

GOOD = Result(1, "An allowed call", "200", "200")
BAD = Result(2, "A path that is denied", "403 MTLS-E203", "200")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# --- summary ---


def test_a_result_is_right_if_it_is_what_was_expected() -> None:
    assert GOOD.ok
    assert not BAD.ok


@pytest.mark.parametrize(
    ("results", "ok"), [([], False), ([GOOD], True), ([GOOD, BAD], False), ([BAD], False)]
)
def test_all_steps_must_be_right_and_no_steps_are_not(results: list[Result], ok: bool) -> None:
    assert is_ok(results) is ok
    assert json.loads(to_json(results))["ok"] is ok


def test_the_verdict_counts_or_names() -> None:
    assert verdict([GOOD]) == "1 step, all as they should be"
    assert verdict([GOOD, BAD]) == "1 step did not come out right: 2"


def test_the_json_has_what_the_table_has() -> None:
    (step,) = json.loads(to_json([BAD]))["steps"]
    assert step == {
        "number": 2,
        "title": "A path that is denied",
        "expected": "403 MTLS-E203",
        "seen": "200",
        "ok": False,
    }
    assert rows([BAD]) == [("2", "A path that is denied", "403 MTLS-E203", "200", "WRONG")]


# --- ui ---


@pytest.mark.parametrize(
    ("stream", "environ", "colour"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (Terminal(), {}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    stream: io.StringIO, environ: dict[str, str], colour: bool
) -> None:
    assert wants_colour(stream, environ) is colour


def shown(colour: bool) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(stream, colour), stream


def test_plain_output_has_no_escapes_even_while_something_takes_long() -> None:
    console, stream = shown(colour=False)
    console.heading("1. A step")
    console.command("pki ls")
    console.field("answer", "200 OK\nand more")
    with console.progress("waiting", lambda: "3 requests, "):
        pass
    assert stream.getvalue().splitlines()[:-1] == [
        "",
        "1. A step",
        "   $ pki ls",
        "   answer   200 OK",
        "            and more",
    ]
    assert stream.getvalue().splitlines()[-1].startswith("   waiting: 3 requests, ")


def test_coloured_output_spins_and_erases_what_spun() -> None:
    console, stream = shown(colour=True)
    with console.progress("waiting"):
        pass
    spun, last = stream.getvalue().rsplit("\r\x1b[K", 1)
    assert "waiting" in spun
    assert last.startswith("\x1b[2m   waiting: ")
    assert last.endswith(" s\x1b[0m\n")


def test_long_text_is_wrapped_and_none_of_it_lost() -> None:
    console, stream = shown(colour=False)
    console.field("answer", "x" * 200)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert sum(line.count("x") for line in lines) == 200


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    lines = table_lines(("step", "seen", ""), [("a", "200", "ok"), ("longer", "-", "WRONG")])
    assert lines == [
        ("step    seen", "bold"),
        ("a       200   ok", "green"),
        ("longer  -     WRONG", "red"),
    ]


def test_a_log_line_shows_what_tells_most() -> None:
    line: dict[str, Any] = {
        "status": None, "flags": "TLS", "code": "MTLS-E101", "peer": "-", "method": "-",
        "path": "-", "rule": "-", "duration_ms": 0.04,
    }  # fmt: skip
    assert log_row(line) == ("-", "TLS", "MTLS-E101", "-", "-", "-", "0.0")
    asked = line | {
        "status": 200, "peer": "spiffe://demo.local/ns/shop/sa/frontend", "method": "GET",
        "path": "/a",
    }  # fmt: skip
    assert log_row(asked)[0] == "200"
    assert log_row(asked)[3:5] == ("frontend", "GET /a")


# --- ports and waiting ---


def test_a_reserved_port_is_free_for_whoever_names_it_and_given_to_nobody_else() -> None:
    with reserved("a", "b") as ports:
        assert ports.keys() == {"a", "b"}
        assert ports["a"] != ports["b"]
        with socket.create_server(("127.0.0.1", ports["a"])):
            socket.create_connection(("127.0.0.1", ports["a"])).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", ports["b"]))


def test_waiting_ends_with_what_was_found_or_with_what_was_missing() -> None:
    assert until(lambda: 7, "seven", patience_s=0) == 7
    with pytest.raises(DemoError, match="waited 0 s in vain for rain"):
        until(lambda: None, "rain", patience_s=0)
