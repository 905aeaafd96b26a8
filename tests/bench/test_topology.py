"""Processes end with their block, and say why if they do not start."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.bench import processes
from tests.bench.processes import Command, StartError, running
from tests.bench.topology import Cores, choose_cores


def _command(folder: Path, code: str) -> Command:
    core = min(os.sched_getaffinity(0))
    return Command([sys.executable, "-c", code], folder, core, {})


def _wait_for(path: Path) -> None:
    while not path.exists():
        os.sched_yield()


def test_load_and_proxies_do_not_share_a_core_if_there_are_two() -> None:
    assert choose_cores({5, 3, 4}) == Cores(proxies=3, load=4)
    assert choose_cores({7}) == Cores(proxies=7, load=7)


def test_a_process_that_died_is_quoted(tmp_path: Path) -> None:
    code = "import sys; print('first', file=sys.stderr); sys.exit('no such port')"
    with running(_command(tmp_path, code)) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(StartError, match="ended with 1: no such port"):
            child.check()


def test_a_process_that_lives_passes_the_check_and_ends_with_the_block(tmp_path: Path) -> None:
    with running(_command(tmp_path, "import time; time.sleep(60)")) as child:
        child.check()
    assert not Path(f"/proc/{child.pid}").exists()


def test_a_process_that_ignores_sigterm_ends_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_STOP_SECONDS", 0.1)
    code = (
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(tmp_path / 'deaf')!r}).touch(); time.sleep(60)"
    )
    with running(_command(tmp_path, code)) as child:
        _wait_for(tmp_path / "deaf")
    assert not Path(f"/proc/{child.pid}").exists()


def test_a_child_is_pinned_and_the_parent_is_not(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    with running(_command(tmp_path, "import time; time.sleep(60)")) as child:
        assert os.sched_getaffinity(child.pid) == {min(before)}
    assert os.sched_getaffinity(0) == before
