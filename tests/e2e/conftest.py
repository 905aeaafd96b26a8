"""What all end-to-end tests share: a site for each module, the loops, and tools that may lack."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.harness import Site, site

LOOPS: Final = ("asyncio", "uvloop")


@pytest.fixture(scope="module", name="site")
def site_fixture() -> Iterator[Site]:
    """A folder, a CA and processes, until the module's last test."""
    with site() as place:
        yield place


@pytest.fixture(scope="module", params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    """The event loop of the sidecars: everything that asks for it runs on either."""
    return str(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder starts real processes."""
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose tool is not there, or fail it where all tools must be."""
    for marker in item.iter_markers("tool"):
        need(*marker.args)


def need(tool: str) -> None:
    """Skip without `tool`; with SIDECAR_REQUIRE_TOOLS=1, as in CI, that is a failure."""
    if shutil.which(tool):
        return
    if os.environ.get("SIDECAR_REQUIRE_TOOLS") == "1":
        pytest.fail(f"{tool} is not installed, and SIDECAR_REQUIRE_TOOLS=1 wants it")
    pytest.skip(f"{tool} is not installed: apt-get install it to run this test")
