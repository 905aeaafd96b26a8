"""A CA for each test that wants one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pki.terminal import Pki


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """The command line, with a CA made."""
    terminal = Pki(tmp_path)
    terminal.init()
    return terminal


@pytest.fixture
def bare(tmp_path: Path) -> Pki:
    """The command line, with no CA yet."""
    return Pki(tmp_path)
