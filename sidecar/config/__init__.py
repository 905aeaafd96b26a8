"""The configuration: from a YAML file to frozen structs, and what is wrong with the file.

`values` are addresses, durations and sizes; `model` says which keys there are; `kinds` is how
the other modules see the model; `tree` reads YAML into nodes that know their line; `read` turns
nodes into structs; `rules` says how values must fit together; `schema` is the JSON Schema.
"""

from sidecar.config.model import (
    AdminConfig,
    Config,
    HealthConfig,
    IdentityConfig,
    Inbound,
    Limits,
    Outbound,
    OutboundTimeouts,
    RuleConfig,
    Timeouts,
    TlsConfig,
)
from sidecar.config.problem import ConfigError, Problem
from sidecar.config.read import load, parse
from sidecar.config.schema import json_schema
from sidecar.config.values import Address

__all__ = [
    "Address",
    "AdminConfig",
    "Config",
    "ConfigError",
    "HealthConfig",
    "IdentityConfig",
    "Inbound",
    "Limits",
    "Outbound",
    "OutboundTimeouts",
    "Problem",
    "RuleConfig",
    "Timeouts",
    "TlsConfig",
    "json_schema",
    "load",
    "parse",
]
