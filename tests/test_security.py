"""SECURITY.md has a row for every class of attack, and the tests that it names exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
CLASSES = 44
# Parts that there are not yet; whoever builds one takes its classes out of here.
NOT_BUILT = {26, 35, 36, 39, 40}


def rows() -> dict[int, list[str]]:
    """The cells of each class, by its number."""
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    lines = re.findall(r"^\| (\d+) \|(.*)\|$", text, re.MULTILINE)
    assert len(lines) == len({number for number, _ in lines}), "a number stands twice"
    return {int(number): [cell.strip() for cell in rest.split("|")] for number, rest in lines}


def named_in(cell: str) -> list[tuple[str, str]]:
    """The tests that a cell names, as (file, function)."""
    return re.findall(r"`([\w/]+\.py)::(test_\w+)`", cell)


@cache
def functions(file: str) -> frozenset[str]:
    """The test functions of a file."""
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def test_every_class_has_its_row_of_three_cells() -> None:
    found = rows()
    assert sorted(found) == list(range(1, CLASSES + 1))
    assert {number for number, cells in found.items() if len(cells) != 3} == set()


def test_a_class_has_a_test_or_is_not_built() -> None:
    for number, (_, standing, shown) in rows().items():
        assert bool(named_in(shown)) is (number not in NOT_BUILT), number
        assert standing.startswith("not built") is (number in NOT_BUILT), number


def test_every_test_that_is_named_exists() -> None:
    named = [test for cells in rows().values() for test in named_in(cells[2])]
    assert len(named) > CLASSES
    missing = [f"{file}::{name}" for file, name in named if name not in functions(file)]
    assert missing == []


def test_nothing_else_stands_in_the_cell_of_tests() -> None:
    """A name that the pattern above does not see would go unchecked."""
    for number, cells in rows().items():
        rest = re.sub(r"`[\w/]+\.py::test_\w+`", "", cells[2])
        assert not rest.strip(), number


def test_every_test_of_a_threat_is_of_a_class_that_is_built() -> None:
    numbers = {
        int(found)
        for path in (ROOT / "tests").rglob("test_*.py")
        for found in re.findall(r"def test_threat_0*(\d+)_", path.read_text("utf-8"))
    }
    assert numbers <= set(range(1, CLASSES + 1)) - NOT_BUILT
