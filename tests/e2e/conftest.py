"""What all end-to-end tests share: a site for each module, and the loops."""

from __future__ import annotations

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
