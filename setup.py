"""Compiles the hot modules of the proxy ahead of time, from the same source.

The interpreter runs them as they are; mypyc makes C extensions of them that do the same work in
less than half the time, which is a third of what an HTTP request costs the proxy. Without mypy or
a C compiler, or with SIDECAR_PURE=1, the package is pure Python and nothing else is different. An
editable install stays pure: a stale extension beside an edited source would be run in its place.
"""

import os
import shutil
import sys

from setuptools import setup

HOT = [
    *(f"sidecar/core/{name}.py" for name in (
        "exchange", "fields", "ids", "intake", "messages", "path", "phases", "policy", "reasons",
        "record", "request", "response", "trie",
    )),
    *(f"sidecar/net/{name}.py" for name in ("http", "sweep", "upstream", "world")),
    *(f"sidecar/telemetry/{name}.py" for name in ("exposition", "meters", "metrics")),
]  # fmt: skip


def extensions() -> list[object]:
    """The compiled modules, or none where they cannot or should not be made."""
    editable = "editable_wheel" in sys.argv or "develop" in sys.argv
    if os.environ.get("SIDECAR_PURE") or editable or not shutil.which("cc"):
        return []
    try:
        from mypyc.build import mypycify  # noqa: PLC0415  # absent where nothing is compiled
    except ImportError:
        return []
    return list(mypycify(["--config-file=", *HOT], opt_level="3", group_name="sidecar_core"))


setup(ext_modules=extensions())
