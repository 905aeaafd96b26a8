"""The pages that come from the code are the ones that are committed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def generate(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "docs.generate", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=30)


def test_the_generated_pages_are_current() -> None:
    done = generate("--check")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_page_that_differs_is_named(tmp_path: Path) -> None:
    """The twin: a copy of the tree with one changed page."""
    for name in ("docs", "examples", "pki", "sidecar"):
        (tmp_path / name).mkdir()
        for path in (ROOT / name).rglob("*"):
            if path.suffix in {".py", ".md", ".json", ".yaml"}:
                copy = tmp_path / path.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
    page = tmp_path / "docs" / "pki.md"
    page.write_text(page.read_text("utf-8") + "more\n", "utf-8")
    done = generate("--check", cwd=tmp_path)
    assert done.returncode == 1
    assert "docs/pki.md is out of date" in done.stdout
    assert generate(cwd=tmp_path).returncode == 0
    assert generate("--check", cwd=tmp_path).returncode == 0
