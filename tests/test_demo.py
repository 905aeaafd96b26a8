"""The demo for real, the ways in which it must not end well, and what it leaves behind: nothing."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.demo.__main__ import main
from examples.demo.processes import until
from examples.demo.shop import CONFIGS
from examples.demo.story import STEPS

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(180)]


@contextmanager
def demo(*options: str) -> Iterator[subprocess.Popen[str]]:
    """The demo as a process of its own, which nothing outlives."""
    command = [sys.executable, "-m", "examples.demo", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], mark: str) -> str:
    """What it prints up to and with the line that has `mark`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if mark in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def folder_of(story: str) -> Path:
    found = re.search(r"All files are in (\S+) until", story)
    assert found, story
    return Path(found[1])


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def templates(tmp_path: Path, workload: str, old: str, new: str) -> Path:
    """A copy of the demo's configurations with one of them changed."""
    folder = tmp_path / "configs"
    shutil.copytree(CONFIGS, folder)
    file = folder / f"{workload}.yaml"
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")
    return folder


@pytest.fixture(scope="module")
def story() -> Iterator[str]:
    """What `make demo KEEP=1` prints, while it waits; in the end nothing of it is left."""
    with demo("--keep") as process:
        text = read_until(process, "Ctrl-C ends it")
        pids = children(process.pid)
        assert len(pids) == 5  # two applications, three sidecars
        yield text
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert all(map(gone, pids))
    assert not folder_of(text).exists()


def test_the_whole_story_comes_out_right(story: str) -> None:
    assert "\x1b" not in story
    assert f"{len(STEPS)} steps, all as they should be" in story
    for number, step in enumerate(STEPS, 1):
        assert f"\n{number}. {step.title}\n" in story
        row = rf"^   {number}  {re.escape(step.title)} .*{re.escape(step.expected)} +ok$"
        assert re.search(row, story, re.MULTILINE), step.title


def test_what_is_left_running_answers(story: str) -> None:
    (frontend,) = re.findall(r"^   curl (http://127\.0\.0\.1:\d+/)$", story, re.MULTILINE)
    with urllib.request.urlopen(frontend, timeout=10) as answer:
        assert b"2 kettles" in answer.read()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_curl_lines_do_what_the_steps_did(story: str) -> None:
    lines = re.findall(r"^   (curl .+)$", story, re.MULTILINE)
    done = [subprocess.run(shlex.split(line), capture_output=True) for line in lines]
    plain, denied_path, denied_identity, direct, no_certificate, metrics = done
    assert b"kettles" in plain.stdout
    assert b"kettles" in direct.stdout
    assert denied_path.stdout.startswith(b"HTTP/1.1 403 Forbidden")
    assert denied_identity.stdout.startswith(b"HTTP/1.1 403 Forbidden")
    assert no_certificate.returncode != 0
    assert metrics.stdout.startswith(b"# HELP")


def test_a_step_that_comes_out_wrong_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The twin: without the deny rule, the ledger is there for the frontend to read."""
    without_deny = templates(tmp_path, "orders", "/api/internal/**", "/nothing")
    assert main(["--json"], without_deny) == 1
    summary = json.loads(capsys.readouterr().out)
    assert summary["ok"] is False
    wrong = {each["number"]: each["seen"] for each in summary["steps"] if not each["ok"]}
    assert wrong == {2: "200", 8: "6 lines, 4 with a code"}


def test_a_sidecar_that_does_not_start_is_named_with_its_last_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main([], templates(tmp_path, "intruder", "outbound:", "outbond:")) == 1
    told = capsys.readouterr().err
    assert told.startswith("demo: intruder ended with 1\nhint: ")
    assert "outbond" in told
    assert [each.name for each in tmp_path.iterdir()] == ["configs"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(number: signal.Signals) -> None:
    with demo() as process:
        story = read_until(process, "1. An allowed call")
        pids = children(process.pid)
        assert pids
        process.send_signal(number)
        assert process.wait(20) == 130
        assert process.stderr is not None
        assert process.stderr.read() == "demo: interrupted; everything is cleaned up\n"
    until(lambda: all(map(gone, pids)), "all processes to be gone")
    assert not folder_of(story).exists()
