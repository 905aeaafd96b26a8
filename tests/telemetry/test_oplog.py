"""The operational log: one line for each message, short, honest and never in the way."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.telemetry import oplog
from sidecar.telemetry.oplog import LINE_BYTES, LineFormatter, RepeatLimit, log
from tests.telemetry.pipes import Pipe
from tests.telemetry.records import HOSTILE, texts

StartLog = Callable[..., Pipe]


def entries(stderr: Pipe) -> list[dict[str, object]]:
    return [json.loads(line) for line in stderr.waiting()]


@pytest.fixture
def start() -> Iterator[StartLog]:
    """Start the log into a pipe; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []  # so that starting closes none of them
    with contextlib.ExitStack() as pipes:

        def start_log(least: str = "info", style: oplog.Style | None = None) -> Pipe:
            pipe = pipes.enter_context(Pipe(pages=2))
            oplog.start(least, style, pipe.fd)
            return pipe

        yield start_log
        logging.captureWarnings(False)
        root.handlers = handlers
        root.setLevel(level)


def record(message: str, fields: oplog.Fields | None = None, at: float = 0.0) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": message, "levelno": 20, "levelname": "INFO"})
    made.name, made.created, made.fields = "sidecar", at, fields or {}
    return made


def test_a_message_and_its_fields(start: StartLog) -> None:
    stderr = start()
    log.warning("accept failed", listener="web", retry_s=0.5, again=True, code=None)
    (entry,) = entries(stderr)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(entry.pop("ts")))
    assert entry == {
        "level": "warning",
        "logger": "sidecar",
        "message": "accept failed",
        "listener": "web",
        "retry_s": 0.5,
        "again": True,
        "code": None,
    }


def test_each_level_has_its_name_and_those_below_the_chosen_are_silent(start: StartLog) -> None:
    stderr = start("warning")
    log.debug("one")
    log.info("two")
    log.warning("three")
    log.error("four")
    levels = [(entry["level"], entry["message"]) for entry in entries(stderr)]
    assert levels == [("warning", "three"), ("error", "four")]
    stderr = start("debug")
    log.debug("one")
    log.info("two")
    assert [entry["level"] for entry in entries(stderr)] == ["debug", "info"]


def test_text_for_a_terminal(start: StartLog) -> None:
    stderr = start(style="text")
    log.info("serving", generation=3, why="a b", empty="", sign="a=b", of='"')
    (line,) = stderr.waiting()
    assert line[24:] == rb' info    serving generation=3 why="a b" empty="" sign="a=b" of="\""'


def test_a_terminal_gets_text_and_a_pipe_json(start: StartLog) -> None:
    stderr = start()
    log.info("serving")
    assert entries(stderr)
    primary, terminal = os.openpty()
    oplog.start(fd=terminal)
    log.info("serving")
    assert os.read(primary, 1000).rstrip().endswith(b"info    serving")
    os.close(primary)
    os.close(terminal)


def test_a_crash_shows_its_traceback(start: StartLog) -> None:
    stderr = start()
    try:
        raise ValueError("broken\nhere")
    except ValueError as error:
        log.crashed("exchange failed", error, peer="p")
    (entry,) = entries(stderr)
    trace = str(entry["traceback"])
    assert entry["level"] == "error"
    assert trace.startswith("Traceback")
    assert trace.endswith("ValueError: broken\nhere\n")


def test_in_text_a_traceback_cannot_pass_for_a_message(start: StartLog) -> None:
    stderr = start(style="text")
    forged = "\n2025-11-23T00:00:00.000Z info    forged\r\x1b[2J\u2028\x9b"
    log.crashed("exchange failed", ValueError(forged))
    first, *rest = stderr.waiting()
    assert first.endswith(b"error   exchange failed")
    assert rest
    assert all(re.fullmatch(rb"    \| [ -~]*", line) for line in rest)


def test_threat_41_only_plain_values_are_shown(start: StartLog) -> None:
    """A secret that is passed along by mistake shows its type and no more."""
    stderr = start()
    secret = "-----BEGIN PRIVATE KEY-----"
    log.info("loaded", key=secret.encode(), pair=("chain", secret), of={"key": secret}, it=Pipe)
    (line,) = stderr.waiting()
    assert secret.encode() not in line
    entry = json.loads(line)
    assert (entry["key"], entry["pair"], entry["of"]) == ("<bytes>", "<tuple>", "<dict>")


def test_an_exception_as_a_field_is_its_type_and_text(start: StartLog) -> None:
    stderr = start()
    log.warning("accept failed", error=OSError(24, "Too many open files"))
    (entry,) = entries(stderr)
    assert entry["error"] == "OSError: [Errno 24] Too many open files"


def test_a_field_never_replaces_the_head(start: StartLog) -> None:
    stderr = start()
    log.info("told", ts="never", level="none", logger="x", message="forged")
    (entry,) = entries(stderr)
    assert (entry["level"], entry["logger"], entry["message"]) == ("info", "sidecar", "told")
    assert entry["ts"] != "never"


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_threat_29_log_injection(style: oplog.Style, text: str) -> None:
    """No field and no message ends a line or reaches a terminal as anything but text."""
    line = LineFormatter(style).format(record(text, {"a": text, "b": text}))
    assert re.fullmatch(r"[ -~]+", line)
    assert len(line) < LINE_BYTES


@given(st.dictionaries(st.sampled_from("abcdefgh"), texts), texts)
def test_threat_29_any_texts_at_once(fields: dict[str, str], message: str) -> None:
    """One message is one line of ASCII that fits into a pipe at once."""
    line = LineFormatter("json").format(record(message, fields))
    assert re.fullmatch(r"[ -~]+", line)
    assert len(line) < LINE_BYTES
    assert json.loads(line).keys() == {"ts", "level", "logger", "message"} | fields.keys()


def test_more_fields_than_a_line_holds_leave_the_message() -> None:
    fields = {f"field_{number}": "\x01" * 100 for number in range(100)}
    entry = json.loads(LineFormatter("json").format(record("told", fields)))
    assert entry["message"] == "told"
    assert "field_0" not in entry


def test_a_number_that_json_has_not_is_text(start: StartLog) -> None:
    stderr = start()
    log.info("told", a=float("nan"), b=float("inf"))
    (entry,) = entries(stderr)
    assert (entry["a"], entry["b"]) == ("nan", "inf")


def test_what_others_log_and_warn_comes_out_the_same_way(start: StartLog) -> None:
    stderr = start()
    logging.getLogger("asyncio").error("lost %s\n", "a task")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old\nthing", stacklevel=1)
    first, second = entries(stderr)
    assert (first["logger"], first["message"]) == ("asyncio", "lost a task\n")
    assert second["logger"] == "py.warnings"
    assert "old\nthing" in str(second["message"])


@pytest.mark.parametrize("burst", [1, 2, 20])
def test_a_flood_is_cut_after_its_burst_and_counted(burst: int) -> None:
    limit = RepeatLimit(burst, rate_per_s=1.0)
    flood = [record("handshake refused", at=100.0) for _ in range(50)]
    assert [limit.filter(each) for each in flood] == [True] * burst + [False] * (50 - burst)
    almost, later = record("handshake refused", at=100.99), record("handshake refused", at=101.0)
    assert not limit.filter(almost)
    assert limit.filter(later)
    entry = json.loads(LineFormatter("json").format(later))
    assert entry["suppressed"] == 51 - burst
    assert "suppressed" not in LineFormatter("json").format(flood[0])


def test_one_message_does_not_silence_another() -> None:
    limit = RepeatLimit(1, 1.0)
    assert limit.filter(record("handshake refused"))
    assert not limit.filter(record("handshake refused"))
    assert limit.filter(record("reload refused"))


def test_a_quiet_hour_gives_the_burst_back_and_not_more() -> None:
    limit = RepeatLimit(2, 1.0)
    passed = [limit.filter(record("x", at=at)) for at in (0, 0, 0, 3600, 3600, 3600)]
    assert passed == [True, True, False, True, True, False]


def test_threat_43_a_clock_that_steps_back_neither_fills_nor_empties() -> None:
    limit = RepeatLimit(1, 1.0)
    assert limit.filter(record("x", at=1000.0))
    assert not limit.filter(record("x", at=1.0))
    assert limit.filter(record("x", at=2.0))


def test_messages_that_never_repeat_are_limited_together() -> None:
    limit = RepeatLimit(20, 1.0)
    passed = [limit.filter(record(f"message {number}")) for number in range(1000)]
    assert passed == [True] * 276 + [False] * 724


def test_a_reader_that_has_stopped_costs_lines_and_not_the_loop(start: StartLog) -> None:
    stderr = start()
    filler = stderr.fill()
    log.info("lost")  # this hangs if it waits
    log.info("lost too")
    assert stderr.waiting() == filler.splitlines()
    log.info("next")
    log.info("last")
    following, last = entries(stderr)
    assert (following["message"], following["lost"]) == ("next", 2)
    assert "lost" not in last


def test_a_reader_that_is_gone_is_no_error(start: StartLog) -> None:
    stderr = start()
    stderr.reader.close()
    log.error("nobody reads this")
    log.error("nor this")
