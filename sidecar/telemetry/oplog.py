"""The operational log: what the sidecar says about itself, on stderr.

Call it with a constant message and the data in fields: `log.warning("accept failed",
listener="web", error=str(error))`. Messages are constant so that they can be counted, searched
and limited; fields may hold anything a peer sent, because every line is rendered with the care of
`text`. Only plain values are shown: of bytes and objects (a key, a context, a configuration) a
line has the type's name, so no secret gets out by being passed along.

Two things keep the log from hurting the proxy. A message that repeats more than a few times a
second is held back and counted (a flood of handshakes must not become a flood of lines), and the
next one of its kind says how many were `suppressed`. And stderr is asked whether it takes a line
before it gets one: lines are at most PIPE_BUF bytes, which a writable pipe takes without blocking,
so a reader that has stopped costs lines (the next one says how many were `lost`), not the loop.
A thread would do as well, but lines written at once are there after a crash.

Everything of the standard library that logs (asyncio does) and all warnings come out the same way.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import select
import traceback
from collections.abc import Mapping
from typing import Final, Literal

from sidecar.telemetry.accesslog import timestamp
from sidecar.telemetry.text import json_line, tame, tame_end

LINE_BYTES: Final = select.PIPE_BUF
BURST: Final = 20
RATE_PER_S: Final = 1.0
_BOUNDS: Final = (1024, 128, 16)  # of one text, tried in turn until the line fits
_HEAD: Final = ("ts", "level", "logger", "message")
_BARE: Final = re.compile(r"[!#-<>-~]+")  # printable, without space, quote and equals sign
_MAX_MESSAGES: Final = 256  # more different ones (of other libraries) share one bucket

Style = Literal["json", "text"]
Fields = Mapping[str, object]


class Log:
    """A logger that takes fields by name; the methods are the levels."""

    __slots__ = ("_logger",)

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, message: str, /, **fields: object) -> None:
        """For whoever looks for a fault."""
        self._write(logging.DEBUG, message, fields)

    def info(self, message: str, /, **fields: object) -> None:
        """Something ordinary that an operator wants to find later."""
        self._write(logging.INFO, message, fields)

    def warning(self, message: str, /, **fields: object) -> None:
        """Something is not as it should be, and the sidecar goes on."""
        self._write(logging.WARNING, message, fields)

    def error(self, message: str, /, **fields: object) -> None:
        """Somebody must do something."""
        self._write(logging.ERROR, message, fields)

    def crashed(self, message: str, error: BaseException, /, **fields: object) -> None:
        """An exception that nobody expected, with its traceback."""
        self._write(logging.ERROR, message, fields, error)

    def _write(
        self, level: int, message: str, fields: Fields, error: BaseException | None = None
    ) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, message, exc_info=error, extra={"fields": fields})


log: Final = Log(logging.getLogger("sidecar"))


class RepeatLimit(logging.Filter):
    """A token bucket for each message; time is that of the records."""

    def __init__(self, burst: float = BURST, rate_per_s: float = RATE_PER_S) -> None:
        super().__init__()
        self._burst = burst
        self._rate = rate_per_s
        self._buckets: dict[str, _Bucket] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to let it pass; tell it how many of its kind did not, as `suppressed`."""
        key = str(record.msg)
        if key not in self._buckets and len(self._buckets) >= _MAX_MESSAGES:
            key = ""
        bucket = self._buckets.setdefault(key, _Bucket(self._burst, record.created))
        elapsed = max(0.0, record.created - bucket.at)
        bucket.tokens = min(self._burst, bucket.tokens + elapsed * self._rate)
        bucket.at = record.created
        if bucket.tokens < 1:
            bucket.suppressed += 1
            return False
        bucket.tokens -= 1
        record.suppressed, bucket.suppressed = bucket.suppressed, 0
        return True


class _Bucket:
    __slots__ = ("at", "suppressed", "tokens")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at
        self.suppressed = 0


class LineFormatter(logging.Formatter):
    """A record as one line of less than `LINE_BYTES` bytes: JSON, or text for a terminal.

    In text, a traceback follows on lines of its own, indented, so it cannot pass for a message.
    """

    def __init__(self, style: Style) -> None:
        super().__init__()
        self._layout = _as_json if style == "json" else _as_text

    def format(self, record: logging.LogRecord) -> str:
        """Render without the line end, with ever shorter texts until it fits."""
        for bound in _BOUNDS:
            line = self._layout(_head(record, bound) | _fields(record, bound))
            if len(line) < LINE_BYTES:
                return line
        return self._layout(_head(record, _BOUNDS[-1]))


class StderrHandler(logging.Handler):
    """Writes lines to `fd` while it takes them at once, and counts those that it does not."""

    def __init__(self, fd: int, style: Style) -> None:
        super().__init__()
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._lost = 0
        self.setFormatter(LineFormatter(style))
        self.addFilter(RepeatLimit())

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line or lose it."""
        record.lost = self._lost
        line = self.format(record).encode("ascii") + b"\n"
        try:
            ready = any(events & select.POLLOUT for _, events in self._poll.poll(0))
            self._lost = 0 if ready and os.write(self._fd, line) else self._lost + 1
        except OSError:
            self._lost += 1


def start(level: str = "info", style: Style | None = None, fd: int = 2) -> StderrHandler:
    """Send the operational log, and warnings, to `fd`; without a style, a terminal gets text."""
    handler = StderrHandler(fd, style or ("text" if os.isatty(fd) else "json"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    return handler


def _head(record: logging.LogRecord, bound: int) -> dict[str, object]:
    return {
        "ts": timestamp(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": tame(record.getMessage(), bound),
    }


def _fields(record: logging.LogRecord, bound: int) -> dict[str, object]:
    """Everything but the head, which no field can replace."""
    given: Fields = getattr(record, "fields", {})
    fields = {key: _plain(value, bound) for key, value in given.items() if key not in _HEAD}
    for count in ("suppressed", "lost"):
        if number := getattr(record, count, 0):
            fields[count] = number
    if record.exc_info:
        trace = "".join(traceback.format_exception(*record.exc_info))
        fields["traceback"] = tame_end(trace, 2 * bound)
    return fields


def _plain(value: object, bound: int) -> object:
    """Show values that say what they are, and only the type of everything else."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return tame(value, bound)
    if isinstance(value, BaseException):
        return tame(f"{type(value).__name__}: {value}", bound)
    return f"<{type(value).__name__}>"


def _as_json(fields: Fields) -> str:
    return json_line(fields).decode("ascii")


def _as_text(fields: Fields) -> str:
    shown = {key: value for key, value in fields.items() if key not in {*_HEAD, "traceback"}}
    pairs = (f" {key}={_quoted_if_needed(value)}" for key, value in shown.items())
    head = f"{fields['ts']} {fields['level']:<7} {_printable(str(fields['message']))}"
    trace = str(fields.get("traceback", "")).splitlines()
    return "\n    | ".join([head + "".join(pairs), *map(_printable, trace)])


def _quoted_if_needed(value: object) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text)


def _printable(text: str) -> str:
    return text if text.isascii() and text.isprintable() else json.dumps(text)[1:-1]
