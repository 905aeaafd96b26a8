"""What the README tells people to type is typed here, as it stands there but for the ports."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from examples.demo.ports import reserved

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")

curl = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")


def section(title: str) -> str:
    (found,) = re.findall(
        rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL
    )
    return str(found)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def ten_lines() -> tuple[str, str]:
    """The shell script and the configuration of the section."""
    text = section("Use it in ten lines")
    (config,) = blocks(text, "yaml")
    return "".join(blocks(text, "sh")), config


def run(folder: Path, change: str = "", into: str = "") -> tuple[int, str]:
    """Do what the README says; return curl's exit code, and all that was printed."""
    script, config = ten_lines()
    assert change in script
    script = script.replace("curl ", "curl -sS -o answer -w '%{http_code}\\n' ").replace(
        change, into
    )
    with reserved("8080", "9443") as ports:
        for name, port in ports.items():
            script, config = (text.replace(name, str(port)) for text in (script, config))
        (folder / "sidecar.yaml").write_text(config)
        return shell(folder, script)


def shell(folder: Path, script: str) -> tuple[int, str]:
    """Run a script, then end what it left in the background, and wait for that too."""
    tidy = "trap 'kill $(jobs -p); wait' EXIT\n"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with (folder / "printed").open("wb") as printed:
        process = subprocess.Popen(
            ["bash", "-ec", tidy + script], cwd=folder, env=os.environ | {"PATH": path},
            stdout=printed, stderr=printed, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(40)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    return code, (folder / "printed").read_text()


def test_it_is_ten_lines() -> None:
    script, config = ten_lines()
    assert len((script + config).splitlines()) == 10


@curl
def test_the_ten_lines_work_as_they_stand_there(tmp_path: Path) -> None:
    code, said = run(tmp_path)
    assert code == 0, said
    assert '"rule":"allow[0]"' in said
    assert "\n200\n" in said
    assert "sidecar.yaml" in (tmp_path / "answer").read_text()


@curl
def test_without_a_certificate_the_handshake_is_refused(tmp_path: Path) -> None:
    code, said = run(tmp_path, " --cert me/tls.crt --key me/tls.key", "")
    assert code != 0
    assert '"code":"MTLS-E101"' in said
    assert not (tmp_path / "answer").exists()


@curl
def test_another_method_is_denied(tmp_path: Path) -> None:
    _, said = run(tmp_path, "https:", "-X POST https:")
    assert '"code":"MTLS-E202"' in said
    assert "\n403\n" in said


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_readme_s_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = set(re.findall(r"(?:`|^\$ )make ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "test", "bench"} <= named
    for name in named:
        assert re.search(rf"^{name}:.*## ", makefile, re.MULTILINE), name
