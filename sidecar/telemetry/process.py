"""What the kernel says about this process, in the words that every Prometheus client uses."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds since the epoch, seconds of CPU, bytes, and numbers of file descriptors."""

    started: float
    cpu_s: float
    resident_bytes: int
    open_fds: int
    max_fds: int


def read_usage(proc: Path) -> Usage | None:
    """Read `proc` (`/proc/self`); None where the kernel has no such thing."""
    try:
        stat = (proc / "stat").read_text("utf-8", "replace")
        open_fds = len(os.listdir(proc / "fd"))
    except OSError:
        return None
    # proc(5): the name, field 2, may hold anything; the rest counts from its closing bracket
    fields = stat[stat.rindex(")") + 2 :].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return Usage(
        started=_boot_time() + int(fields[19]) / ticks,
        cpu_s=(int(fields[11]) + int(fields[12])) / ticks,
        resident_bytes=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        open_fds=open_fds,
        max_fds=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


@cache  # asked once: a start time that moves with the clock looks like a restart
def _boot_time() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
