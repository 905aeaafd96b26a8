"""What every suite shares: the loops of asynchronous tests, and properties without a clock."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable

import pytest
import uvloop
from hypothesis import settings

# No test asserts a duration, and a busy machine is no reason to fail.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each asynchronous test once on either loop.

    One for which the loop makes no difference (real processes, say) picks one:
    `@pytest.mark.asyncio(loop_factories=["asyncio"])`.
    """
    del config, item
    return LOOPS


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a program that is not here; with SIDECAR_REQUIRE_TOOLS=1, as in CI, fail."""
    for mark in item.iter_markers("tool"):
        if shutil.which(mark.args[0]) is None:
            if os.environ.get("SIDECAR_REQUIRE_TOOLS") == "1":
                pytest.fail(f"{mark.args[0]} is not installed and must be")
            pytest.skip(f"{mark.args[0]} is not installed")
