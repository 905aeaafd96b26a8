"""The small values of a configuration file: addresses, durations and sizes.

Each has one written form, which is also its pattern in the JSON Schema, so that an editor, the
schema and the reader agree on what is well-formed. Nothing is repaired on the way in: `127.1`,
`64k` and `*:80` mean different things to different programs, so they are refused here.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Final

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST = rf"{_LABEL}(\.{_LABEL})*\.?"
_IPV6 = r"\[[0-9A-Fa-f:.]+\]"
ADDRESS_FORM: Final = rf"^({_HOST}:[0-9]{{1,5}}|{_IPV6}:[0-9]{{1,5}}|unix:/.+)$"
MAX_ADDRESS_BYTES: Final = 300  # a DNS name has at most 253 (RFC 1035 2.3.4)
MAX_UNIX_PATH_BYTES: Final = 107  # sun_path holds 108 with its closing NUL (unix(7))

_HOST_PORT = re.compile(rf"(?P<host>{_HOST}|{_IPV6}):(?P<port>[0-9]+)")
_NUMERIC_END = re.compile(r"(^|\.)([0-9]+|0[xX][0-9A-Fa-f]*)\.?$")


class InvalidValueError(ValueError):
    """A text that is not the value it should be; the message says which rule it breaks."""


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where a socket listens or connects: a host and a port, or the path of a UNIX socket.

    `host` is a name, an IPv4 address or an IPv6 address without its brackets; `port` 0 lets the
    system choose; `path` is absolute, and empty where host and port are meant.
    """

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `HOST:PORT`, `[IPV6]:PORT` or `unix:/PATH`, or raise `InvalidValueError`."""
        if len(text) > MAX_ADDRESS_BYTES:
            raise InvalidValueError(f"an address has at most {MAX_ADDRESS_BYTES} characters")
        if text.startswith("unix:"):
            return cls(path=_unix_path(text.removeprefix("unix:")))
        match = _HOST_PORT.fullmatch(text)
        if match is None:
            raise InvalidValueError(f"{quote(text)} is not HOST:PORT, [IPV6]:PORT or unix:/PATH")
        return cls(_host(match["host"]), _port(match["port"]))

    @property
    def is_unix(self) -> bool:
        """Whether this is a UNIX socket."""
        return bool(self.path)

    @property
    def is_local(self) -> bool:
        """Whether plain text sent here cannot leave the machine: loopback or a UNIX socket."""
        return self.is_unix or self.host.lower() == "localhost" or _is_loopback(self.host)

    def overlaps(self, other: Address) -> bool:
        """Whether the two cannot be listened on at once: the same place, or a wildcard over it."""
        if self.is_unix or other.is_unix:
            return self == other
        if self.port == 0 or self.port != other.port:
            return False
        mine, theirs = packed_ip(self.host), packed_ip(other.host)
        if mine is None or theirs is None or len(mine) != len(theirs):
            return self.host.lower() == other.host.lower()
        return mine == theirs or not any(mine) or not any(theirs)

    def __str__(self) -> str:
        if self.is_unix:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def packed_ip(host: str) -> bytes | None:
    """The 4 or 16 bytes of an IP address, None for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_pton(family, host)
        except OSError:
            continue
    return None


def _is_loopback(host: str) -> bool:
    packed = packed_ip(host) or b""
    mapped = packed.removeprefix(bytes(10) + b"\xff\xff")  # ::ffff:127.0.0.1 (RFC 4291 2.5.5.2)
    return (len(mapped) == 4 and mapped[0] == 127) or packed == bytes(15) + b"\x01"


def _unix_path(path: str) -> str:
    if not path.startswith("/"):
        raise InvalidValueError(f"{quote(path)} is not absolute: a socket's path starts with /")
    if len(path.encode()) > MAX_UNIX_PATH_BYTES:
        raise InvalidValueError(f"a UNIX socket's path has at most {MAX_UNIX_PATH_BYTES} bytes")
    if not path.isprintable():
        raise InvalidValueError(f"{quote(path)} has a character that cannot be printed")
    return path


def _host(text: str) -> str:
    bare = text.strip("[]")
    packed = packed_ip(bare)
    if text.startswith("[") and (packed is None or len(packed) != 16):
        raise InvalidValueError(f"{quote(text)} is not an IPv6 address in brackets")
    if packed is None and _NUMERIC_END.search(bare):
        raise InvalidValueError(f"{quote(text)} is not an IPv4 address of four numbers")
    return bare


def _port(text: str) -> int:
    if len(text) > 5 or int(text) > 65535:
        raise InvalidValueError(f"port {quote(text)} is above 65535")
    return int(text)


@dataclass(frozen=True, slots=True)
class Unit:
    """A kind of quantity that is written with a unit: `250ms`, `64KiB`.

    `base` names what a bare number counts, `scales` maps each unit to how many of `base` it is,
    smallest first.
    """

    name: str
    base: str
    scales: dict[str, float]

    @property
    def form(self) -> str:
        """The pattern of the written form."""
        return rf"^[0-9]{{1,9}}({'|'.join(self.scales)})$"

    def parse(self, text: str) -> float:
        """Read a whole number and its unit as so many of `base`, or raise `InvalidValueError`."""
        match = re.fullmatch(self.form, text)
        if match is None:
            units = ", ".join(self.scales)
            raise InvalidValueError(f"{quote(text)} is not a {self.name}: a number and {units}")
        return int(text.removesuffix(match[1])) * self.scales[match[1]]

    def show(self, value: float) -> str:
        """Write so many of `base` with the largest unit that leaves a whole number.

        What no unit measures evenly comes with the smallest, as a decimal.
        """
        for unit, scale in reversed(self.scales.items()):
            count = round(value / scale, 9)
            if count == int(count) and (count or scale == 1):
                return f"{int(count)}{unit}"
        unit, scale = next(iter(self.scales.items()))
        return f"{value / scale:g}{unit}"


DURATION: Final = Unit("duration", "seconds", {"ms": 0.001, "s": 1, "m": 60, "h": 3600})
SIZE: Final = Unit("size", "bytes", {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30})


def quote(text: str) -> str:
    """Show a text from the file on one line, shortened, with nothing a terminal would act on."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")
