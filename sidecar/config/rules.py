"""What the types of the model cannot say: how its values must fit together.

Each struct is judged as soon as it has been read, so that one mistake in one listener does not
hide those of the next. A complaint names the key that it is about, relative to the struct.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from sidecar.config.model import AdminConfig, Config, Inbound, Outbound, RuleConfig
from sidecar.config.problem import Path
from sidecar.config.values import Address
from sidecar.core.policy import InvalidRuleError

_PLAIN_HINT = "use 127.0.0.1 or unix:/PATH; if it must be, write `unsafe_plaintext: true` beside it"


class Complaint(NamedTuple):
    """What is wrong with one key of a struct, and what would mend it."""

    path: Path
    message: str
    hint: str = ""


def complaints(struct: object) -> Iterator[Complaint]:
    """Say what is wrong with a struct, given that each of its values alone is right."""
    match struct:
        case Inbound():
            yield from _inbound(struct)
        case Outbound():
            yield from _outbound(struct)
        case AdminConfig():
            yield from _admin(struct)
        case Config():
            yield from _config(struct)
        case _:
            pass


def _inbound(inbound: Inbound) -> Iterator[Complaint]:
    forward = inbound.forward
    if not forward.is_local and not inbound.unsafe_plaintext:
        message = f"{forward} is not loopback: plain text would leave this machine"
        yield Complaint(("forward",), message, _PLAIN_HINT)
    if forward.is_local and forward.overlaps(inbound.listen):
        yield Complaint(("forward",), f"{forward} is this listener itself")
    yield from _reachable(("forward",), forward)
    if inbound.protocol == "http" and inbound.proxy_protocol != "off":
        hint = "an http application reads x-forwarded-client-cert; remove the key"
        yield Complaint(("proxy_protocol",), "PROXY protocol goes with `protocol: tcp` only", hint)
    yield from _rules(inbound, "allow", inbound.allow)
    yield from _rules(inbound, "deny", inbound.deny)
    names: list[tuple[Path, str | None]] = [
        *((("allow", index), rule.name) for index, rule in enumerate(inbound.allow)),
        *((("deny", index), rule.name) for index, rule in enumerate(inbound.deny)),
    ]
    yield from _unique(names, "rule")


def _rules(
    inbound: Inbound, effect: Literal["allow", "deny"], rules: tuple[RuleConfig, ...]
) -> Iterator[Complaint]:
    for index, rule in enumerate(rules):
        try:
            rule.rule(effect, index)
        except InvalidRuleError as error:
            yield Complaint((effect, index, "methods"), str(error))
        if inbound.protocol == "tcp":
            yield from _opaque(effect, index, rule)


def _opaque(effect: str, index: int, rule: RuleConfig) -> Iterator[Complaint]:
    for key, given in (("methods", rule.methods), ("paths", rule.paths)):
        if given:
            message = f"a tcp listener cannot see {key}"
            hint = "write `protocol: http`, or remove the key"
            yield Complaint((effect, index, key), message, hint)


def _outbound(outbound: Outbound) -> Iterator[Complaint]:
    if not outbound.listen.is_local and not outbound.unsafe_plaintext:
        message = f"{outbound.listen} is not loopback: others could call in this workload's name"
        yield Complaint(("listen",), message, _PLAIN_HINT)
    for index, address in enumerate(outbound.connect):
        yield from _reachable(("connect", index), address)
        if address == outbound.listen:
            yield Complaint(("connect", index), f"{address} is this listener itself")


def _admin(admin: AdminConfig) -> Iterator[Complaint]:
    if not admin.listen.is_local:
        message = f"{admin.listen} is not loopback: the admin port can stop the sidecar"
        hint = "use 127.0.0.1 or unix:/PATH; `health` may listen anywhere"
        yield Complaint(("listen",), message, hint)


def _config(config: Config) -> Iterator[Complaint]:
    if not config.inbound and not config.outbound:
        hint = "add a listener to `inbound` or `outbound`; see examples/sidecar.yaml"
        yield Complaint((), "there is nothing to do: no listener is configured", hint)
    listeners: list[tuple[Path, Inbound | Outbound]] = [
        *((("inbound", index), each) for index, each in enumerate(config.inbound)),
        *((("outbound", index), each) for index, each in enumerate(config.outbound)),
    ]
    yield from _unique([(path, each.name) for path, each in listeners], "listener")
    opened = [(path, each.listen) for path, each in listeners]
    if config.admin:
        opened.append((("admin",), config.admin.listen))
    if config.health:
        opened.append((("health",), config.health.listen))
    yield from _apart(opened)


def _reachable(path: Path, address: Address) -> Iterator[Complaint]:
    if not address.is_unix and address.port == 0:
        yield Complaint(path, "nothing can be reached at port 0")


def _unique(named: Sequence[tuple[Path, str | None]], what: str) -> Iterator[Complaint]:
    seen: set[str] = set()
    for path, name in named:
        if name in seen:
            yield Complaint((*path, "name"), f"another {what} has the name {name} already")
        if name is not None:
            seen.add(name)


def _apart(opened: list[tuple[Path, Address]]) -> Iterator[Complaint]:
    seen: dict[int, list[Address]] = {}
    for path, address in opened:
        neighbours = seen.setdefault(address.port, [])
        if any(map(address.overlaps, neighbours)):
            yield Complaint((*path, "listen"), f"another listener is at {address} already")
        neighbours.append(address)
