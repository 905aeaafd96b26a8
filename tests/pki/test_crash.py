"""Real processes: several at once, killed in the middle, on a full disk.

No record is lost, no serial number used twice, no key left half-written.
"""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from pki.authority import Authority
from pki.errors import StoreError
from pki.keys import load_private_key
from pki.lint import Role
from pki.profile import Profile, Request
from pki.store import Query
from tests.pki.faults import small_disk
from tests.pki.kit import NOW, WEB

MANY = 10_000  # more than a worker gets done before it is killed


def start(mode: str, folder: Path, count: int = MANY) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.pki.worker", mode, str(folder), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(worker: subprocess.Popen[str]) -> list[str]:
    """Everything it printed, each line whole."""
    said, _ = worker.communicate(timeout=30)
    return [line for line in said.splitlines(keepends=True) if line.endswith("\n")]


def kill_after(worker: subprocess.Popen[str], lines: int) -> list[str]:
    """Let it say `lines` lines, kill it wherever it is then, and return all that it said."""
    assert worker.stdout is not None
    said = [worker.stdout.readline() for _ in range(lines)]
    worker.kill()
    return [*said, *finish(worker)]


def issued(folder: Path) -> list[str]:
    with Authority.open(folder) as ca:
        report = ca.verify_log()
        assert report.ok, report
        entries = ca.ls(Query(role=Role.LEAF, limit=MANY)).entries
        assert report.records == 3 + len(entries)
    return [f"{entry.serial}\n" for entry in reversed(entries)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Authority.create(tmp_path / "ca", Profile("demo.local"), NOW).close()
    return tmp_path / "ca"


def test_two_that_issue_at_once_lose_no_record_and_reuse_no_serial(folder: Path) -> None:
    """Serial collision, two CA replicas (threat class 37)."""
    workers = [start("issue", folder, 60) for _ in range(3)]
    said = [line for worker in workers for line in finish(worker)]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert len(said) == len(set(said)) == 180
    assert sorted(issued(folder)) == sorted(said)


@pytest.mark.parametrize("lines", [1, 2, 7, 20])
def test_kill_9_in_the_middle_loses_nothing_that_was_handed_out(folder: Path, lines: int) -> None:
    said = kill_after(start("issue", folder), lines)
    recorded = issued(folder)
    assert recorded[: len(said)] == said
    assert len(recorded) - len(said) <= 1  # recorded, and killed before it was handed out
    assert finish(start("issue", folder, 1)) == issued(folder)[-1:]


@pytest.mark.parametrize("lines", [1, 3, 10])
def test_kill_9_leaves_a_folder_whole(folder: Path, lines: int) -> None:
    """Key material: rotation writes cert and key apart (threat class 41)."""
    said = kill_after(start("deliver", folder), lines)
    web = folder / "web"
    leaf = x509.load_pem_x509_certificates((web / "tls.crt").read_bytes())[0]
    held = load_private_key((web / "tls.key").read_bytes(), None, "tls.key")
    assert held.public_key() == leaf.public_key()
    serial = f"{leaf.serial_number:040x}\n"
    assert serial in issued(folder)
    assert serial not in said[:-1]  # the last that it said, or the one after
    keys = [path for path in web.rglob("tls.key") if not path.is_symlink()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    finish(start("deliver", folder, 1))
    assert len([path for path in web.rglob("tls.key") if not path.is_symlink()]) == 1


def test_two_inits_at_once_make_one_ca(tmp_path: Path) -> None:
    workers = [start("init", tmp_path / "ca") for _ in range(3)]
    said = [finish(worker) for worker in workers]
    assert sorted(said) == [[], [], ["done\n"]]
    with Authority.open(tmp_path / "ca") as ca:
        made = ca.issue(Request(WEB), NOW)
        assert ca.verify_log().ok
    made.certificate.verify_directly_issued_by(made.chain[1])


def test_a_full_disk_stops_issuing_and_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 600) as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(200 * 1024))
        said: list[str] = []
        with Authority.create(disk / "ca", Profile("demo.local"), NOW) as ca:
            with pytest.raises(StoreError) as caught:
                issue_many(ca, said)
            assert "is the disk full?" in caught.value.hints[0]
        assert len(said) > 10
        assert issued(disk / "ca") == said
        ballast.unlink()
        said += finish(start("issue", disk / "ca", 1))
        assert issued(disk / "ca") == said


def issue_many(ca: Authority, said: list[str]) -> None:
    for _ in range(MANY):
        said.append(f"{ca.issue(Request(WEB), NOW).entry.serial}\n")  # noqa: PERF401  # until it fails
