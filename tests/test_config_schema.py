"""The JSON Schema and the reader agree: about every key, and about what a key may hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no types of its own
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config import ConfigError, json_schema, parse
from sidecar.config.kinds import group
from sidecar.config.model import Model
from sidecar.config.tree import build
from tests.configs import FILE, SMALL, small, text_of
from tests.test_config_rules import LIMITS, REFUSED, inbound

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").rglob("*sidecar*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(json_schema())

FULL = small(
    identity={"dir": "/certs", "trust_domain": "demo.local"},
    tls={"min_version": "1.2"},
    loop="asyncio",
    drain_timeout="10s",
    reload_interval=0.5,
)
FULL["inbound"][0] |= {
    "deny": [{"from": ["spiffe://demo.local/**"], "name": "no-admin", "paths": ["/admin/*"]}],
    "timeouts": {"connect": "250ms", "idle": 75, "total": 0},
    "limits": {"head_bytes": "32KiB", "fields": 50, "lifetime": "1h"},
    "unsafe_plaintext": False,
}
FULL["outbound"][0] |= {"server_name": "orders.shop", "timeouts": {"head": 1}, "limits": {}}


def schema_takes(data: object) -> bool:
    return bool(VALIDATOR.is_valid(data))


def reader_takes(data: object) -> bool:
    try:
        parse(text_of(data), FILE)
    except ConfigError:
        return False
    return True


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid_for_the_schema_and_for_the_reader(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    VALIDATOR.validate(build(text, path.name).plain())
    parse(text, path.name)


def test_there_is_an_example() -> None:
    assert ROOT / "examples/sidecar.yaml" in EXAMPLES


def groups(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    yield from schema["$defs"].values()


def test_every_key_is_described_and_closed() -> None:
    for section in groups(json_schema()):
        assert section["additionalProperties"] is False
        assert section["description"]
        for key, value in section["properties"].items():
            assert value["description"].endswith("."), key


def test_a_default_is_valid_where_it_stands() -> None:
    schema = json_schema()
    for section in groups(schema):
        for value in section["properties"].values():
            if "default" in value:
                jsonschema.validate(value["default"], {**value, "$defs": schema["$defs"]})


@pytest.mark.parametrize("data", [SMALL, FULL])
def test_what_is_whole_is_taken_by_both(data: dict[str, Any]) -> None:
    assert schema_takes(data)
    assert reader_takes(data)


def test_the_shown_configuration_is_valid_again() -> None:
    view = parse(text_of(FULL), FILE).view()
    assert schema_takes(view)
    assert parse(text_of(view), FILE).view() == parse(text_of(FULL), FILE).view()


@pytest.mark.parametrize(("key", "value", "fits"), LIMITS)
def test_both_know_the_bounds_of_numbers(key: str, value: object, *, fits: bool) -> None:
    data = inbound(limits={key: value})
    if isinstance(value, int):
        assert schema_takes(data) is fits
    assert reader_takes(data) is fits


@pytest.mark.parametrize("data", [config for config, _, _ in REFUSED])
def test_how_keys_fit_together_is_left_to_the_reader(data: dict[str, Any]) -> None:
    assert schema_takes(data)
    assert not reader_takes(data)


# --- the same verdict about any change of shape ------------------------------------------------

SPOILERS: list[Any] = [
    None, True, 0, 1, -1, 1.5, 10**15, "", "x", "5s", "64KiB", "http", "127.0.0.1:1", "9443",
    "spiffe://demo.local/x", "spiffe://demo.local/../x", "spiffe://demo.local", "/p", "*",
    [], ["x"], [None], [[]], {}, {"x": 1}, {"listen": "127.0.0.1:7"}, [{}], "localhost:65536x",
]  # fmt: skip


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a configuration."""
    if path:
        yield path
    steps = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    for step, value in steps:
        yield from places(value, (*path, step))


def replaced(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy in which the value at the path is another."""
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = replaced(data[path[0]], path[1:], value)
    return copy


@settings(max_examples=400)
@given(st.sampled_from(list(places(FULL))), st.sampled_from(SPOILERS))
def test_the_schema_never_refuses_what_the_reader_takes(path: tuple[Any, ...], value: Any) -> None:
    data = replaced(FULL, path, value)
    if reader_takes(data):
        VALIDATOR.validate(data)


@settings(max_examples=400)
@given(st.sampled_from(list(places(FULL))), st.sampled_from(SPOILERS))
def test_the_reader_takes_the_shape_that_the_schema_takes(
    path: tuple[Any, ...], value: Any
) -> None:
    """What the reader alone refuses is not a matter of shape: rules, ranges of text, fine print."""
    data = replaced(FULL, path, value)
    if schema_takes(data) and not reader_takes(data):
        try:
            parse(text_of(data), FILE)
        except ConfigError as error:
            words = " ".join(problem.message for problem in error.problems)
            assert "not known" not in words
            assert "required and missing" not in words
            assert "expected" not in words


def test_a_type_that_no_file_can_hold_does_not_get_into_the_model() -> None:
    class Wrong(Model, frozen=True):
        key: bytes

    with pytest.raises(TypeError, match="a type that no file can hold"):
        group(Wrong)
