"""`pki` as real processes: what only a process can show."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pki.terminal import WEB

pytestmark = pytest.mark.e2e

PKI = (sys.executable, "-m", "pki")


def pki(cwd: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PKI, *words], cwd=cwd, input=stdin, capture_output=True, text=True, timeout=30
    )


def openssl(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *words], cwd=cwd, capture_output=True, text=True, timeout=30)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a CA and one identity folder, `web`."""
    assert pki(tmp_path, "init", "--dir", "ca", "--trust-domain", "demo.local").returncode == 0
    words = ("issue", "--dir", "ca", "--spiffe-id", WEB, "--dns", "web", "--out", "web")
    assert pki(tmp_path, *words).returncode == 0
    return tmp_path


@pytest.mark.tool("openssl")
def test_openssl_verifies_what_was_issued_until_it_is_revoked(home: Path) -> None:
    words = ("verify", "-x509_strict", "-CAfile", "web/ca.crt", "-untrusted", "web/tls.crt")
    assert openssl(home, *words, "web/tls.crt").returncode == 0
    pki(home, "revoke", "--dir", "ca", "web")
    pki(home, "crl", "--dir", "ca", "--out", "crl.pem")
    listed = openssl(home, *words, "-crl_check_all", "-CRLfile", "crl.pem", "web/tls.crt")
    assert "certificate revoked" in listed.stderr
    assert pki(home, "verify", "web", "--crl", "crl.pem").returncode == 3


@pytest.mark.tool("openssl")
def test_a_request_made_by_openssl_is_signed(home: Path) -> None:
    """The whole way of somebody who keeps the key to himself."""
    own = home / "own"
    own.mkdir(0o700)
    openssl(
        home, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-keyout", "own/tls.key", "-subj", "/", "-out", "own.csr",
    )  # fmt: skip
    words = ("sign", "--dir", "ca", "--csr", "own.csr", "--spiffe-id", WEB, "--out", "own")
    done = pki(home, *words)
    assert done.returncode == 0, done.stderr
    assert pki(home, "verify", "own").returncode == 0


def test_many_at_once_lose_nothing(home: Path) -> None:
    words = (*PKI, "issue", "--dir", "ca", "--spiffe-id", WEB, "--out")
    running = [
        subprocess.Popen([*words, f"w{n}"], cwd=home, stdout=subprocess.DEVNULL) for n in range(6)
    ]
    assert [process.wait(30) for process in running] == [0] * 6
    table = pki(home, "ls", "--dir", "ca", "--role", "leaf").stdout.splitlines()[1:]
    assert len({line.split()[0] for line in table}) == 7
    assert pki(home, "log", "verify", "--dir", "ca").returncode == 0


def test_a_reader_that_has_seen_enough_is_no_error(home: Path) -> None:
    process = subprocess.Popen(
        [*PKI, "show", *["web"] * 200], cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == 0


def test_a_full_disk_is_an_error_and_not_a_traceback(home: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*PKI, "ls", "--dir", "ca"], cwd=home, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode != 0
    assert done.stderr.startswith("pki: no space left on device")
    assert "Traceback" not in done.stderr


def test_a_passphrase_is_asked_for_at_a_terminal_and_not_echoed(tmp_path: Path) -> None:
    words = [*PKI, "init", "--dir", "ca", "--trust-domain", "demo.local", "--passphrase"]
    pid, terminal = pty.fork()
    if pid == 0:  # the child, whose controlling terminal is the pty
        os.chdir(tmp_path)
        os.execv(words[0], words)
    said = b""
    for question in (b"new passphrase", b"the same again"):
        while question not in said:
            said += os.read(terminal, 1024)
        os.write(terminal, b"horse battery\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    said += os.read(terminal, 4096)
    os.close(terminal)
    assert b"horse" not in said
    assert b"ENCRYPTED" in (tmp_path / "ca" / "root" / "ca.key").read_bytes()


def test_keys_stay_closed_under_any_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        pki(tmp_path, "init", "--dir", "ca", "--trust-domain", "demo.local")
        pki(tmp_path, "issue", "--dir", "ca", "--spiffe-id", WEB, "--out", "web")
    finally:
        os.umask(old)
    keys = [*tmp_path.glob("ca/*/ca.key"), tmp_path / "web" / "tls.key"]
    assert len(keys) == 3
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
