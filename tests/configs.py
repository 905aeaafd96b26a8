"""Configuration files for tests: a complete small one, and what is wrong with others."""

from __future__ import annotations

import copy
from typing import Any

import yaml

from sidecar.config import ConfigError, Problem, parse

FILE = "sidecar.yaml"

SMALL: dict[str, Any] = {
    "identity": {"dir": "/certs"},
    "inbound": [
        {
            "name": "web",
            "listen": "0.0.0.0:9443",
            "forward": "127.0.0.1:8080",
            "protocol": "http",
            "allow": [
                {
                    "from": ["spiffe://demo.local/ns/shop/sa/frontend"],
                    "methods": ["GET"],
                    "paths": ["/api/**"],
                }
            ],
        }
    ],
    "outbound": [
        {
            "name": "orders",
            "listen": "127.0.0.1:9001",
            "connect": ["orders:9443"],
            "expect": ["spiffe://demo.local/ns/shop/sa/orders"],
            "protocol": "http",
        }
    ],
    "admin": {"listen": "127.0.0.1:9440"},
    "health": {"listen": "0.0.0.0:9446"},
}

_REMOVE = object()


def small(**changes: Any) -> dict[str, Any]:
    """The small configuration with top-level keys replaced."""
    return {**copy.deepcopy(SMALL), **changes}


def changed(where: str, value: Any) -> dict[str, Any]:
    """The small configuration with one value replaced: `inbound.0.listen`."""
    data = small()
    *parents, last = (int(step) if step.isdigit() else step for step in where.split("."))
    spot: Any = data
    for step in parents:
        spot = spot.setdefault(step, {}) if isinstance(spot, dict) else spot[step]
    if value is _REMOVE:
        del spot[last]
    else:
        spot[last] = value
    return data


def without(where: str) -> dict[str, Any]:
    """The small configuration with one key removed."""
    return changed(where, _REMOVE)


class _Dumper(yaml.SafeDumper):
    """Writes equal values twice: the reader takes no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def text_of(data: object) -> str:
    """The same as YAML, in the order given."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False))


def problems_of(config: str | bytes | dict[str, Any]) -> tuple[Problem, ...]:
    """What is wrong with a configuration; nothing if it can be read."""
    try:
        parse(text_of(config) if isinstance(config, dict) else config, FILE)
    except ConfigError as error:
        return error.problems
    return ()


def problem_of(config: str | bytes | dict[str, Any]) -> Problem:
    """The only thing that is wrong with a configuration."""
    (problem,) = problems_of(config)
    return problem
