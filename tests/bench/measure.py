"""What a process has used, out of /proc; and what a list of latencies says.

The parsers take text, so that they can be tested; the two functions at the end read the files.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in KiB: `pss` divides shared pages among those who map them.

    A bench runs two processes of a kind, and ours share the interpreter with the harness, so
    `rss` (each shared page counted in full) is the bound from above for a proxy that is alone.
    """

    pss: int
    rss: int


def parse_cpu_ticks(stat: str) -> int:
    """User and system time of all threads in ticks: fields 14 and 15 of /proc/PID/stat (proc(5)).

    The second field is the program's name in parentheses, which may hold blanks and parentheses.
    """
    fields = stat[stat.rindex(")") + 1 :].split()
    return int(fields[11]) + int(fields[12])


def parse_memory(smaps_rollup: str) -> Memory:
    """`Pss:` and `Rss:` of /proc/PID/smaps_rollup."""
    sizes = {
        words[0]: int(words[1])
        for words in map(str.split, smaps_rollup.splitlines())
        if words[-1:] == ["kB"]
    }
    return Memory(pss=sizes["Pss:"], rss=sizes["Rss:"])


def percentile(ascending: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile (0 < percent <= 100) of values in ascending order."""
    rank = math.ceil(len(ascending) * percent / 100)
    return ascending[rank - 1]


def cpu_seconds(pid: int) -> float:
    """CPU time that the process has used since it started."""
    return parse_cpu_ticks(Path(f"/proc/{pid}/stat").read_text()) / _TICKS_PER_SECOND


def memory(pid: int) -> Memory:
    """What the process holds now."""
    return parse_memory(Path(f"/proc/{pid}/smaps_rollup").read_text())
