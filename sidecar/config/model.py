"""The configuration as frozen structs: the one place that says which keys there are.

Four readers fold over these definitions: `read` (YAML -> structs), `schema` (JSON Schema),
`docs/configuration.md`, and `Config.view` (structs -> the same keys again). So a key is added
here, with its type, its bounds, its default and its description, and nowhere else. What a type
cannot say, such as "plain text stays on loopback", is in `rules`.

All durations are seconds, all sizes bytes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pki.names import SpiffePattern
from sidecar.config.values import DURATION, SIZE, Address
from sidecar.core.policy import PathPattern, Policy, Rule

MILLISECOND = 0.001
WEEK = 7 * 24 * 3600.0

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        extra={"what": "a name: up to 63 of A-Z a-z 0-9 . _ - from a letter or digit on"},
    ),
]
Folder = Annotated[str, Meta(pattern=r"^[^\x00]{1,4095}$", extra={"what": "a folder"})]
TrustDomain = Annotated[
    str,
    Meta(pattern=r"^[a-z0-9._-]{1,255}$", extra={"what": "a trust domain: a-z 0-9 . - _"}),
]
DnsName = Annotated[
    str,
    Meta(
        pattern=r"^(?=.{1,253}$)[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$", extra={"what": "a DNS name"}
    ),
]
Method = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,32}$",  # RFC 9110 section 5.6.2
        extra={"what": "an HTTP method"},
    ),
]
Protocol = Literal["http", "tcp"]


def about(text: str) -> Meta:
    """A description."""
    return Meta(description=text)


def some(text: str, missing: str = "", hint: str = "") -> Meta:
    """A list that is not empty; `missing` says what it would mean if it were, `hint` the cure."""
    return Meta(description=text, min_length=1, extra={"missing": missing, "hint": hint})


def count(text: str, least: int, most: int) -> Meta:
    """A whole number between two bounds, both included."""
    return Meta(description=text, ge=least, le=most)


def size(text: str, least: int, most: int) -> Meta:
    """A number of bytes between two bounds, both included."""
    return Meta(description=text, ge=least, le=most, extra={"unit": SIZE})


def seconds(text: str, least: float = MILLISECOND, most: float = WEEK) -> Meta:
    """A duration between two bounds, both included."""
    return Meta(description=text, ge=least, le=most, extra={"unit": DURATION})


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all parts of the configuration have in common."""


class IdentityConfig(Model, frozen=True, kw_only=True):
    """Who this workload is."""

    dir: Annotated[
        Folder,
        about(
            "Folder with `tls.crt`, `tls.key`, `ca.crt` and, by choice, `crl.pem`. "
            "A relative path begins at the configuration file."
        ),
    ]
    trust_domain: Annotated[
        TrustDomain | None,
        about("The trust domain of all peers. Left out: that of the own certificate."),
    ] = None


class TlsConfig(Model, frozen=True, kw_only=True):
    """What all mTLS sides have in common."""

    min_version: Annotated[
        Literal["1.3", "1.2"],
        about("Lowest TLS version. `1.2` allows AEAD suites with forward secrecy only."),
    ] = "1.3"


class Timeouts(Model, frozen=True, kw_only=True):
    """How long things may take before they are given up."""

    connect: Annotated[float, seconds("Until the next hop has accepted a connection.")] = 5.0
    handshake: Annotated[float, seconds("Until a TLS handshake is done.")] = 5.0
    head: Annotated[float, seconds("From a request's first byte to the end of its head.")] = 10.0
    idle: Annotated[
        float, seconds("Silence on a connection, between two requests or inside of one.")
    ] = 75.0
    response: Annotated[float, seconds("From a complete request to its response's head.")] = 60.0
    total: Annotated[float, seconds("A whole request with its response; 0 is no bound.", 0)] = 0.0


class OutboundTimeouts(Timeouts, frozen=True, kw_only=True):
    """As inbound, but idle connections end sooner, so that the client's side gives up first."""

    idle: Annotated[
        float, seconds("Silence on a connection, between two requests or inside of one.")
    ] = 60.0


class Limits(Model, frozen=True, kw_only=True):
    """How much of everything there may be, so that no peer can take it all."""

    connections: Annotated[int, count("Connections of this listener at once.", 1, 1_000_000)] = (
        10_000
    )
    handshakes: Annotated[
        int, count("TLS handshakes of this listener in progress at once.", 1, 100_000)
    ] = 256
    head_bytes: Annotated[
        int, size("Size of a head: request or status line, and all fields.", 1024, 2**20)
    ] = 65536
    fields: Annotated[int, count("Number of header fields.", 1, 10_000)] = 100
    body_bytes: Annotated[int, size("Size of a request's body; 0 is no bound.", 0, 2**40)] = 0
    lifetime: Annotated[
        float,
        seconds(
            "Age at which a connection ends, if its certificates do not end it sooner; "
            "0 is no bound.",
            0,
        ),
    ] = 0.0
    idle_upstreams: Annotated[
        int, count("Idle connections kept for the next request; 0 keeps none.", 0, 10_000)
    ] = 1024


class RuleConfig(Model, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Which identities may or may not do what. All conditions of a rule hold at once."""

    from_: Annotated[
        tuple[SpiffePattern, ...],
        some(
            "SPIFFE IDs of the callers. `*` stands for one path segment, `**` for any number.",
            missing="a rule is about somebody, and nobody is named",
            hint='write `from: ["spiffe://TRUST-DOMAIN/**"]` for everyone in that trust domain',
        ),
    ]
    methods: Annotated[
        tuple[Method, ...],
        some("HTTP methods. Left out: all. Only where `protocol` is `http`."),
    ] = ()
    paths: Annotated[
        tuple[PathPattern, ...],
        some(
            "Paths of requests. `*` stands for one segment, `**` for any number. Left out: all. "
            "Only where `protocol` is `http`."
        ),
    ] = ()
    name: Annotated[
        Name | None,
        about("What the access log calls the rule. Left out: `allow[0]`, `deny[1]` and so on."),
    ] = None

    def rule(self, effect: Literal["allow", "deny"], index: int) -> Rule:
        """The rule as policy takes it; raises `core.policy.InvalidRuleError`."""
        name = self.name or f"{effect}[{index}]"
        return Rule(name, effect, self.from_, frozenset(self.methods), self.paths)


class Inbound(Model, frozen=True, kw_only=True):
    """A port that accepts mutual TLS and hands plain bytes to the application."""

    name: Annotated[Name, about("Name in logs and metrics, unique among all listeners.")]
    listen: Annotated[Address, about("Where other workloads connect.")]
    forward: Annotated[
        Address, about("The application: loopback or a UNIX socket, see `unsafe_plaintext`.")
    ]
    protocol: Annotated[
        Protocol, about("`http`: requests are read and checked one by one. `tcp`: opaque bytes.")
    ]
    allow: Annotated[
        tuple[RuleConfig, ...],
        some(
            "Who may connect and do what. What no rule allows is refused.",
            missing="nobody is allowed: what no rule allows is refused, so this port is useless",
            hint='say who may connect: `allow: [{from: ["spiffe://TRUST-DOMAIN/ns/*/sa/web"]}]`',
        ),
    ]
    deny: Annotated[
        tuple[RuleConfig, ...], about("What is refused although a rule allows it.")
    ] = ()
    timeouts: Annotated[Timeouts, about("How long things may take.")] = Timeouts()
    limits: Annotated[Limits, about("How much of everything there may be.")] = Limits()
    proxy_protocol: Annotated[
        Literal["off", "v2"],
        about(
            "`v2`: tell the application who called in a PROXY protocol header. "
            "Only where `protocol` is `tcp`."
        ),
    ] = "off"
    unsafe_plaintext: Annotated[
        bool, about("Let `forward` leave the machine, unencrypted and unauthenticated.")
    ] = False

    def policy(self) -> Policy:
        """The rules of this listener, ready to be asked."""
        allow = [rule.rule("allow", index) for index, rule in enumerate(self.allow)]
        return Policy(allow + [rule.rule("deny", index) for index, rule in enumerate(self.deny)])


class Outbound(Model, frozen=True, kw_only=True):
    """A port that accepts plain bytes of the application and sends them over mutual TLS."""

    name: Annotated[Name, about("Name in logs and metrics, unique among all listeners.")]
    listen: Annotated[
        Address,
        about("Where the application connects: loopback or a UNIX socket, see `unsafe_plaintext`."),
    ]
    connect: Annotated[
        tuple[Address, ...],
        some(
            "The other workload's inbound ports; all are the same service.",
            missing="there is nothing to connect to",
            hint='name the other workload\'s port: `connect: ["orders:9443"]`',
        ),
    ]
    expect: Annotated[
        tuple[SpiffePattern, ...],
        some(
            "SPIFFE IDs that the other workload may have. "
            "Nothing is sent before its certificate shows one.",
            missing="no server is expected: without this any certificate would do, so none does",
            hint='name the server: `expect: ["spiffe://TRUST-DOMAIN/ns/shop/sa/orders"]`',
        ),
    ]
    protocol: Annotated[
        Protocol, about("`http`: requests are read and written anew. `tcp`: opaque bytes.")
    ]
    timeouts: Annotated[OutboundTimeouts, about("How long things may take.")] = OutboundTimeouts()
    limits: Annotated[Limits, about("How much of everything there may be.")] = Limits()
    server_name: Annotated[
        DnsName | None, about("Name to ask for in the TLS handshake (SNI). Left out: none.")
    ] = None
    unsafe_plaintext: Annotated[
        bool, about("Let other machines send plain text to `listen`, in this workload's name.")
    ] = False


class AdminConfig(Model, frozen=True, kw_only=True):
    """The port for operators: health, metrics, live views, drain. Left out: there is none."""

    listen: Annotated[Address, about("Always loopback or a UNIX socket.")] = Address(
        "127.0.0.1", 9440
    )


class HealthConfig(Model, frozen=True, kw_only=True):
    """The port for the kubelet and scrapers: `/livez`, `/readyz` and `/metrics` only."""

    listen: Annotated[Address, about("Any address: nothing here changes anything.")] = Address(
        "0.0.0.0",  # noqa: S104  read-only, and the kubelet comes from outside of the pod
        9446,
    )


class Config(Model, frozen=True, kw_only=True):
    """The configuration file of `sidecar run`."""

    identity: Annotated[IdentityConfig, about("Who this workload is.")]
    inbound: Annotated[
        tuple[Inbound, ...], about("Ports that accept mutual TLS for the application.")
    ] = ()
    outbound: Annotated[
        tuple[Outbound, ...], about("Ports that carry the application's calls over mutual TLS.")
    ] = ()
    admin: Annotated[AdminConfig | None, about("The port for operators. Left out: none.")] = None
    health: Annotated[
        HealthConfig | None, about("The port for the kubelet and scrapers. Left out: none.")
    ] = None
    tls: Annotated[TlsConfig, about("What all mTLS sides have in common.")] = TlsConfig()
    access_log: Annotated[
        bool, about("One JSON object on stdout for every request and tunnel.")
    ] = True
    loop: Annotated[
        Literal["auto", "uvloop", "asyncio"],
        about("Event loop. `auto`: uvloop where it is installed."),
    ] = "auto"
    drain_timeout: Annotated[
        float, seconds("How long open requests may take to finish after SIGTERM.", 0, 3600)
    ] = 25.0
    reload_interval: Annotated[
        float, seconds("How often to look whether the file or the identity changed.", 0.05, 3600)
    ] = 1.0

    def view(self) -> dict[str, Any]:
        """The configuration as JSON has it: a file with these keys would be read as the same."""
        return _keys(self)


def plain(value: Any) -> Any:
    """A value of the configuration as JSON has it."""
    match value:
        case msgspec.Struct():
            return _keys(value)
        case tuple():
            return [plain(each) for each in value]
        case Address() | SpiffePattern():
            return str(value)
        case PathPattern():
            return value.text
        case _:
            return value


def _keys(struct: msgspec.Struct) -> dict[str, Any]:
    """The keys of the file, defaults included, without those that are left out to say nothing."""
    fields = zip(struct.__struct_encode_fields__, struct.__struct_fields__, strict=True)
    values = ((key, getattr(struct, field)) for key, field in fields)
    return {key: plain(value) for key, value in values if value not in (None, ())}
