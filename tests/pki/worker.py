"""A process that issues, for tests that kill it: `python -m tests.pki.worker MODE FOLDER COUNT`.

It prints each serial number as soon as it holds the certificate: what was printed has left the
CA, so it must be in the index.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pki.authority import Authority
from pki.files import PUBLIC_MODE, SECRET_MODE, write_folder
from pki.profile import Profile, Request
from tests.pki.kit import NOW, WEB


def issue(folder: Path, count: int) -> None:
    with Authority.open(folder) as ca:
        for _ in range(count):
            say(ca.issue(Request(WEB), NOW).entry.serial)


def deliver(folder: Path, count: int) -> None:
    """Issue, and switch the workload's folder to it."""
    with Authority.open(folder) as ca:
        for _ in range(count):
            made = ca.issue(Request(WEB), NOW)
            files = {
                "tls.crt": (made.chain_pem, PUBLIC_MODE),
                "tls.key": (made.key_pem, SECRET_MODE),
                "ca.crt": (made.bundle_pem, PUBLIC_MODE),
            }
            write_folder(folder / "web", files)
            say(made.entry.serial)


def init(folder: Path, _: int) -> None:
    Authority.create(folder, Profile("demo.local"), NOW).close()
    say("done")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    mode, where, how_often = sys.argv[1:]
    {"issue": issue, "deliver": deliver, "init": init}[mode](Path(where), int(how_often))
