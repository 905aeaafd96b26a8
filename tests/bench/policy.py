"""What a policy costs: CPU time per question, and what building 10,000 rules takes.

Run it with `python tests/bench/policy.py`; `--json` prints one object instead of the table. Each
figure is the best of several runs: the others are what the machine was doing besides.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import timeit
import tracemalloc
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a plain script: it runs from anywhere, without installation

from pki.names import SpiffeID, SpiffePattern  # noqa: E402  after the path
from sidecar.core.path import canonical, plain  # noqa: E402
from sidecar.core.policy import Grant, PathPattern, Policy, Rule  # noqa: E402

PEER = "spiffe://demo.local/ns/shop/sa/web"
MANY = 10_000
CALLS = 20_000
ROUNDS = 7


def rule(name: str, source: str, paths: list[str], methods: tuple[str, ...] = ()) -> Rule:
    patterns = tuple(PathPattern.parse(path) for path in paths)
    return Rule(name, "allow", (SpiffePattern.parse(source),), frozenset(methods), patterns)


def per_path(count: int) -> list[Rule]:
    """One peer, a rule for each of its paths."""
    return [rule(f"r{i}", PEER, [f"/api/v{i}/users/*"], ("GET", "POST")) for i in range(count)]


def per_peer(count: int) -> list[Rule]:
    """A rule for each peer; the last is the one that asks."""
    names = [f"spiffe://demo.local/ns/shop/sa/web{i}" for i in range(count - 1)]
    return [rule(name, name, ["/api/**"]) for name in [*names, PEER]]


def grant(rules: list[Rule]) -> Grant:
    found = Policy(rules).connection(SpiffeID.parse(PEER))
    assert isinstance(found, Grant)
    return found


def cost_us(call: Callable[[], object]) -> float:
    """Return CPU µs per call, without what an empty call costs."""

    def best(measured: Callable[[], object]) -> float:
        timer = timeit.Timer(measured, timer=time.process_time)
        return min(timer.repeat(ROUNDS, CALLS)) / CALLS * 1e6

    return best(call) - best(lambda: None)


def paths() -> dict[str, float]:
    usual, query, escaped = (
        "/api/v1/users/42",
        "/api/v1/users?page=2&size=50",
        "/u/a%40b.org/th%c3%a9",
    )
    return {
        "canonical: usual path": cost_us(lambda: canonical(usual)),
        "canonical: with a query": cost_us(lambda: canonical(query)),
        "canonical: with escapes": cost_us(lambda: canonical(escaped)),
        "plain: usual path": cost_us(lambda: plain(usual)),
    }


def requests() -> dict[str, float]:
    source = [PEER, "spiffe://demo.local/ns/shop/**", "spiffe://demo.local/**"]
    cases = {
        "no paths": ([rule("r", PEER, [])], "/api/v1/users/42"),
        "/api/**": ([rule("r", PEER, ["/api/**"])], "/api/v1/users/42"),
        "exact path": ([rule("r", PEER, ["/health", "/ready"])], "/health"),
        "wildcard /users/*": (per_path(10), "/api/v1/users/42"),
        "wildcard beside a literal": ([rule("r", PEER, ["/u/*", "/u/me"])], "/u/42"),
        "both fit": ([rule("r", PEER, ["/u/*", "/u/me"])], "/u/me"),
        "refused": (per_path(10), "/admin/users"),
        "escaped path": ([rule("r", PEER, ["/u/*"])], "/u/a%40b.org"),
        "** in the middle": ([rule("r", PEER, ["/api/**/items"])], "/api/v1/users/items"),
        "3 sources cover the peer": (
            [rule(f"r{i}", source[i], ["/api/**"]) for i in range(3)],
            "/api/v1/users/42",
        ),
    }
    return {f"request: {name}": ask(rules, path) for name, (rules, path) in cases.items()}


def ask(rules: list[Rule], path: str) -> float:
    asked = grant(rules).request
    return cost_us(lambda: asked("GET", path))


def scale() -> dict[str, float]:
    found: dict[str, float] = {}
    for name, make, path in (
        ("rules of one peer", per_path, "/api/v7/users/42"),
        ("rules of as many peers", per_peer, "/api/v1/users/42"),
    ):
        few, many = ask(make(10), path), ask(make(MANY), path)
        found[f"10 {name}: request"] = few
        found[f"{MANY} {name}: request"] = many
        found[f"{MANY} {name}: times the cost of 10"] = many / few
        found |= {f"{MANY} {name}: {key}": value for key, value in build(make(MANY)).items()}
    return found


def build(rules: list[Rule]) -> dict[str, float]:
    started = time.process_time()
    policy = Policy(rules)
    spent = time.process_time() - started
    tracemalloc.start()
    kept = Policy(rules)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    peer = SpiffeID.parse(PEER)
    return {
        "build, ms": spent * 1e3,
        "memory, MiB": size / 2**20,
        "connection": cost_us(lambda: policy.connection(peer)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    figures = paths() | requests() | scale()
    if as_json:
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=2))
        return
    print("CPU µs, where nothing else is said")
    for name, value in figures.items():
        print(f"  {name:<55} {value:>9.2f}")


if __name__ == "__main__":
    main()
