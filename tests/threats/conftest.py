"""A sidecar with a strict policy before an HTTP application, for each module of threats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.apps import WebApplication, website
from tests.e2e.harness import Sidecar, Site, inbound, site, spiffe

STRICT: dict[str, Any] = {
    "allow": [
        {"name": "reads", "from": [spiffe("frontend")], "methods": ["GET"], "paths": ["/api/**"]}
    ],
    "deny": [
        {"name": "internal", "from": ["spiffe://demo.local/**"], "paths": ["/api/internal/**"]}
    ],
}


@pytest.fixture(scope="module", name="site")
def site_fixture() -> Iterator[Site]:
    """A folder, a CA and processes, until the module's last test."""
    with site() as place:
        yield place


@pytest.fixture(scope="module")
def web() -> Iterator[WebApplication]:
    """The application: `reached` is what got as far as there."""
    with website() as application:
        yield application


@pytest.fixture(scope="module")
def server(site: Site, web: WebApplication) -> Sidecar:
    """Two ports before one application: `open` for the whole trust domain, `strict` for few."""
    ports = [inbound("open", web), inbound("strict", web) | STRICT]
    return site.sidecar("web", {"inbound": ports})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Most of this folder starts real processes."""
    for item in items:
        if "threats" in item.path.parts:
            item.add_marker(pytest.mark.e2e)
