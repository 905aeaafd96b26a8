"""A CA for each test that wants one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pki.authority import Authority
from pki.profile import Profile
from tests.pki.kit import NOW
from tests.pki.terminal import Pki


@pytest.fixture
def ca(tmp_path: Path) -> Iterator[Authority]:
    """The library, with a CA made at `NOW` in `tmp_path / "ca"`."""
    with Authority.create(tmp_path / "ca", Profile("demo.local"), NOW) as authority:
        yield authority


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
