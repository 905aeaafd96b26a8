"""The JSON Schema of the configuration file, for editors and for checks before a deployment.

It knows what one key may hold, and never refuses what the reader takes. What it cannot say is
left to `sidecar check`: how keys fit together (`rules`), the bounds of a duration or size that is
written as text, and some of the fine print of addresses and path patterns.
"""

from __future__ import annotations

from typing import Any

from sidecar.config.kinds import Choice, Field, Flag, Group, Kind, Many, Maybe, Number, Text, group
from sidecar.config.model import Config, plain


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) as values that JSON can hold."""
    definitions: dict[str, Any] = {}
    root = _schema(group(Config), definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mtls-sidecar configuration",
        **definitions.pop(root["$ref"].rpartition("/")[2]),
        "$defs": definitions,
    }


def _schema(kind: Kind, definitions: dict[str, Any]) -> dict[str, Any]:
    match kind:
        case Group():
            return _reference(kind, definitions)
        case Many():
            return {
                "type": "array",
                "items": _schema(kind.item, definitions),
                "minItems": kind.least,
            }
        case Maybe():
            return {"anyOf": [_schema(kind.kind, definitions), {"type": "null"}]}
        case Text():
            return {"type": "string", "pattern": kind.form}
        case Number():
            return _number(kind)
        case Choice():
            return {"enum": list(kind.values)}
        case Flag():
            return {"type": "boolean"}


def _number(kind: Number) -> dict[str, Any]:
    name = "integer" if kind.whole else "number"
    bounds = {"minimum": kind.least, "maximum": kind.most}
    if kind.unit is None:
        return {"type": name, **bounds}
    return {"type": [name, "string"], **bounds, "pattern": kind.unit.form}


def _reference(kind: Group, definitions: dict[str, Any]) -> dict[str, Any]:
    name = kind.cls.__name__
    if name not in definitions:
        definitions[name] = {
            "type": "object",
            "description": kind.about,
            "additionalProperties": False,
            "required": [field.key for field in kind.fields if field.required],
            "properties": {field.key: _property(field, definitions) for field in kind.fields},
        }
    return {"$ref": f"#/$defs/{name}"}


def _property(field: Field, definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _schema(field.kind, definitions) | {"description": field.about}
    if field.required or field.default in (None, ()) or isinstance(field.kind, Group):
        return schema
    return schema | {"default": default(field)}


def default(field: Field) -> Any:
    """A field's default as one would write it in the file."""
    if isinstance(field.kind, Number):
        return field.kind.show(field.default) if field.kind.unit else field.default
    return plain(field.default)
