"""The vocabulary between an exchange and its shell: phases, wishes, and the time of each phase."""

from __future__ import annotations

from typing import Final

from sidecar.core.request import Timeouts

# What a connection is doing.
IDLE: Final = "idle"
HEAD: Final = "head"  # a head has begun and not ended
DIALLING: Final = "dialling"
SEND: Final = "send"  # the request goes out
WAIT: Final = "wait"  # it is out; nothing has come back
STREAM: Final = "stream"  # the response comes
TUNNEL: Final = "tunnel"
LINGERING: Final = "lingering"  # the last word is said; what the client still sends is forgotten
CLOSED: Final = "closed"

IDLING: Final = frozenset({IDLE, HEAD, LINGERING, CLOSED})  # no exchange is under way
ACTIVE: Final = frozenset({SEND, STREAM})  # every byte extends the deadline

# What the shell should do: bits of one number.
DIAL: Final = 1  # get an upstream connection, a fresh one if `fresh`
RELEASE: Final = 2  # give it back for reuse
DROP: Final = 4  # close it
CLOSE: Final = 8  # close the client connection when everything is written
LINGER: Final = 16  # close its sending side, go on feeding
ABORT: Final = 32  # reset the client connection
SWITCH: Final = 64  # join both connections into a tunnel

LINGER_S: Final = 2.0
NEVER: Final = float("inf")


def deadline(phase: str, timeouts: Timeouts, now: float, began: float | None) -> float:
    """Return when `phase` has lasted too long; `began` is the start of the exchange, if any."""
    if phase is WAIT:
        end = now + timeouts.response
    elif phase is IDLE or phase is SEND or phase is STREAM:
        end = now + timeouts.idle
    elif phase is HEAD:
        end = now + timeouts.head
    elif phase is LINGERING:
        end = now + LINGER_S
    else:
        end = NEVER  # dialling has a clock of its own, a tunnel another
    if timeouts.total and began is not None:
        end = min(end, began + timeouts.total)
    return end
