"""What docs/policy.md promises is what happens."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pki.names import SpiffeID, SpiffePattern
from sidecar.core.ids import Denial, Permit, RefusedError
from sidecar.core.path import canonical
from sidecar.core.policy import PathPattern, Policy, Rule
from sidecar.core.reasons import ALL

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[list[str]]]:
    """Return the code in each cell of the table whose first heading is `heading`."""
    rows = TEXT.split(f"| {heading} |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows]
    return [[re.findall("`([^`]*)`", cell.replace("\\|", "|")) for cell in row] for row in cells]


def rules(effect: Any, listed: list[dict[str, Any]]) -> list[Rule]:
    return [
        Rule(
            entry["name"],
            effect,
            tuple(map(SpiffePattern.parse, entry["from"])),
            frozenset(entry.get("methods", ())),
            tuple(map(PathPattern.parse, entry.get("paths", ()))),
        )
        for entry in listed
    ]


@pytest.mark.parametrize("row", table("pattern"), ids=lambda row: row[0][0])
def test_patterns_cover_what_the_table_says(row: list[list[str]]) -> None:
    [pattern], covered, others = row
    source = (SpiffePattern.parse("spiffe://demo.local/**"),)
    policy = Policy([Rule("r", "allow", source, paths=(PathPattern.parse(pattern),))])
    grant = policy.connection(SpiffeID.parse("spiffe://demo.local/a"))
    assert not isinstance(grant, Denial)
    assert covered
    assert all(isinstance(grant.request("GET", path), Permit) for path in covered)
    assert all(isinstance(grant.request("GET", path), Denial) for path in others)


@pytest.mark.parametrize("row", table("refused"), ids=lambda row: row[1][0])
def test_the_refused_examples_are_refused(row: list[list[str]]) -> None:
    assert row[1]
    for target in row[1]:
        with pytest.raises(RefusedError):
            canonical(target)


def test_the_ordinary_examples_are_accepted() -> None:
    [listed] = re.findall("an ordinary path: (.*?)[.] Rules", TEXT, re.DOTALL)
    examples = re.findall("`([^`]*)`", listed)
    assert len(examples) == 4
    assert [canonical(path)[0] for path in examples] == examples


def test_the_example_does_what_its_names_say() -> None:
    [block] = re.findall("```yaml\n(.*?)```", TEXT, re.DOTALL)
    [listener] = yaml.safe_load(block)["inbound"]
    policy = Policy(rules("allow", listener["allow"]) + rules("deny", listener["deny"]))
    shop = policy.connection(SpiffeID.parse("spiffe://demo.local/ns/shop/sa/frontend"))
    operator = policy.connection(SpiffeID.parse("spiffe://demo.local/ns/ops/sa/alice"))
    assert not isinstance(shop, Denial)
    assert not isinstance(operator, Denial)
    assert shop.request("GET", "/api/v1") == Permit("shop-reads")
    assert isinstance(shop.request("POST", "/api/v1"), Denial)
    assert operator.request("POST", "/api/v1") == Permit("operators")
    assert isinstance(operator.request("POST", "/admin"), Denial)


def test_the_codes_exist() -> None:
    codes = [row[0][0] for row in table("`code`")]
    assert codes[0] == "-"
    assert set(codes[1:]) <= set(ALL)
