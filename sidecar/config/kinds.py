"""What may stand at a key: the model's types, seen as the seven kinds of value that a file has.

The reader, the JSON Schema and the reference in `docs/` each fold over these kinds, so they
cannot disagree about a key. This is the only module that looks into msgspec's type information.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

import msgspec
from msgspec import inspect

from pki.names import SpiffePattern
from sidecar.config.values import ADDRESS_FORM, Address, InvalidValueError, Unit, quote
from sidecar.core.policy import PathPattern


@dataclass(frozen=True, slots=True)
class Text:
    """A text; `parse` raises `ValueError` for a wrong one, `form` is its pattern (ECMA 262)."""

    parse: Callable[[str], object]
    form: str
    what: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Number:
    """A number between two bounds, both included; with a unit it may be written as text."""

    whole: bool
    least: float
    most: float
    unit: Unit | None

    @property
    def what(self) -> str:
        """What to expect, in words."""
        number = "a whole number" if self.whole else "a number"
        if self.unit is None:
            return number
        return f"a {self.unit.name} ({', '.join(self.unit.scales)}) or {number} of {self.unit.base}"

    def show(self, value: float) -> str:
        """Write a value as one would in the file."""
        return self.unit.show(value) if self.unit else f"{value:.15g}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    values: tuple[str, ...]

    @property
    def what(self) -> str:
        """What to expect, in words."""
        return " or ".join(f"`{value}`" for value in self.values)


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    what: str = "true or false"


@dataclass(frozen=True, slots=True)
class Many:
    """A list of at least so many items of one kind."""

    item: Kind
    least: int
    what: str = "a list"


@dataclass(frozen=True, slots=True)
class Maybe:
    """The kind, or nothing."""

    kind: Kind

    @property
    def what(self) -> str:
        """What to expect, in words."""
        return self.kind.what


@dataclass(frozen=True, slots=True)
class Group:
    """Keys that belong together and become one struct."""

    cls: type[msgspec.Struct]
    fields: tuple[Field, ...]
    what: str = "keys and values"

    @property
    def about(self) -> str:
        """The first paragraph of the struct's docstring."""
        return (self.cls.__doc__ or "").partition("\n\n")[0]


Kind = Text | Number | Choice | Flag | Many | Maybe | Group


@dataclass(frozen=True, slots=True)
class Field:
    """A key and the attribute that holds its value.

    `missing` and `hint` say what its absence means and what to do then, if that is special.
    """

    key: str
    attribute: str
    kind: Kind
    about: str
    missing: str
    hint: str
    required: bool
    default: Any


TEXTS: Final[dict[type, Text]] = {
    Address: Text(
        Address.parse,
        ADDRESS_FORM,
        "an address",
        "such as 127.0.0.1:8080, [::1]:8080, orders:9443 or unix:/run/app.sock; "
        "0.0.0.0:9443 listens on all addresses",
    ),
    SpiffePattern: Text(
        SpiffePattern.parse,
        r"^spiffe://[a-z0-9._-]{1,255}(/([*]{1,2}|(?![.]{1,2}(/|$))[A-Za-z0-9._-]+))+$",
        "a SPIFFE ID pattern",
        "spiffe://TRUST-DOMAIN/ns/*/sa/web has one wildcard segment; "
        "spiffe://TRUST-DOMAIN/** is everyone in that trust domain",
    ),
    PathPattern: Text(
        PathPattern.parse,
        "^/",
        "a path pattern",
        "such as /healthz, /orders/*/items or /api/**",
    ),
}


@cache
def group(cls: type[msgspec.Struct]) -> Group:
    """The keys of a struct of the model."""
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)
    return Group(cls, tuple(map(_field, info.fields)))


def _field(field: inspect.Field) -> Field:
    extra: dict[str, Any] = {}
    about: dict[str, Any] = {}
    if isinstance(field.type, inspect.Metadata):
        extra, about = field.type.extra or {}, field.type.extra_json_schema or {}
    return Field(
        key=field.encode_name,
        attribute=field.name,
        kind=_kind(field.type),
        about=about.get("description", ""),
        missing=extra.get("missing", ""),
        hint=extra.get("hint", ""),
        required=field.required,
        default=None if field.required else field.default,
    )


def _kind(info: inspect.Type, extra: dict[str, Any] | None = None) -> Kind:
    match info:
        case inspect.Metadata():
            return _kind(info.type, info.extra)
        case inspect.UnionType():
            inner = [each for each in info.types if not isinstance(each, inspect.NoneType)]
            return Maybe(_kind(inner[0]))
        case inspect.VarTupleType():
            return Many(_kind(info.item_type), info.min_length or 0)
        case inspect.StructType():
            return group(info.cls)
        case inspect.LiteralType():
            return Choice(tuple(map(str, info.values)))
        case inspect.BoolType():
            return Flag()
        case _:
            return _scalar(info, extra or {})


def _scalar(info: inspect.Type, extra: dict[str, Any]) -> Kind:
    match info:
        case inspect.DataclassType():
            return TEXTS[info.cls]
        case inspect.StrType(pattern=str(form)):
            return Text(partial(_matching, form, extra["what"]), form, extra["what"])
        case inspect.IntType(ge=int(least), le=int(most)):
            return Number(True, least, most, extra.get("unit"))
        case inspect.FloatType(ge=least, le=most) if least is not None and most is not None:
            return Number(False, least, most, extra.get("unit"))
        case _:
            raise TypeError(f"the model has a type that no file can hold: {info}")


def _matching(form: str, what: str, text: str) -> str:
    if not re.fullmatch(form, text):
        raise InvalidValueError(f"{quote(text)} is not {what}")
    return text
