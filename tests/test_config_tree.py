"""The YAML reader: what it takes is what JSON could say, and what it refuses it names."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import ConfigError
from sidecar.config.tree import MAX_DEPTH, MAX_FILE_BYTES, build
from tests.configs import FILE, SMALL, problem_of, text_of

# Printable, and within the plane that JSON writes as one escape: PyYAML does not join two.
TEXT = st.text(st.characters(max_codepoint=0xFFFF), max_size=12).filter(str.isprintable)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner),
    max_leaves=12,
)


class Quoting(yaml.SafeDumper):
    """Quotes all text and no number, as JSON does."""

    def ignore_aliases(self, data: object) -> bool:
        return True


Quoting.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


@given(JSON)
def test_json_means_in_yaml_what_it_means_in_json(value: object) -> None:
    text = json.dumps(value)
    assert build(text, FILE).plain() == value


@given(JSON)
def test_block_style_means_the_same_as_flow_style(value: object) -> None:
    block = yaml.dump(value, Dumper=Quoting, default_flow_style=False)
    flow = yaml.dump(value, Dumper=Quoting, default_flow_style=True)
    assert build(block, FILE).plain() == value
    assert build(flow, FILE).plain() == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"), ("no", "no"), ("on", "on"), ("yes", "yes"), ("y", "y"),
        ("1:20", "1:20"), ("010", "010"), ("0x10", "0x10"), ("1_000", "1_000"), (".inf", ".inf"),
        (".nan", ".nan"), ("1e3", "1e3"), ("2001-01-01", "2001-01-01"), ("=", "="), ("<<", "<<"),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("'true'", "true"), ('"5"', "5"), ("5", 5), ("-5", -5), ("+5", 5), ("0", 0), ("0.5", 0.5),
        ("9" * 18, int("9" * 18)), ("9" * 19, "9" * 19),
    ],
)  # fmt: skip
def test_plain_scalars_mean_what_they_look_like(text: str, value: object) -> None:
    plain = build(f"a: {text}", FILE).plain()
    assert plain == {"a": value}
    assert isinstance(plain, dict)
    assert type(plain["a"]) is type(value)


def test_every_node_knows_the_line_of_its_key() -> None:
    text = "a: 1\nb:\n  - x\n  -\n    c: 2\n    d:\n      - 3\n"
    root = build(text, FILE)
    assert root.find(("a",)).line == 1
    assert root.find(("b",)).line == 2
    assert root.find(("b", 0)).line == 3
    assert root.find(("b", 1, "d")).line == 6
    assert root.find(("b", 1, "d", 0)).line == 7


def test_a_place_that_is_not_there_is_the_deepest_one_that_is() -> None:
    root = build("a:\n  b: [1]\n", FILE)
    assert root.find(("a", "b", 3)).plain() == [1]
    assert root.find(("a", "x", "y")).line == 1
    assert root.find(("a", 0)) == root.find(("a",))


@pytest.mark.parametrize(
    ("text", "line", "says", "hint"),
    [
        ("", 1, "the file is empty", "examples/sidecar.yaml"),
        ("# nothing\n", 2, "the file is empty", "examples/sidecar.yaml"),
        ("a:\n\tb: 1\n", 2, "a tab stands where YAML wants spaces", "indent with spaces"),
        ("a: 1\nb: 2\na: 3\n", 3, "given twice, first in line 1", ""),
        ("x:\n  a: 1\n  a: 3\n", 3, "given twice, first in line 2", ""),
        ("a: &x 1\n", 1, "anchors and aliases", "write the value out"),
        ("a: &x [1]\n", 1, "anchors and aliases", "write the value out"),
        ("&x a: 1\n", 1, "anchors and aliases", "write the value out"),
        ("a: 1\nb: *x\n", 2, "anchors and aliases", "write the value out"),
        ("a: [*]\n", 1, "this is not YAML", "text that begins with *"),
        ("from: **\n", 1, "this is not YAML", "text that begins with *"),
        ("a: @b\n", 1, "this is not YAML", "needs quotes"),
        ("a: !!str 1\n", 1, "tags are not read", "remove 'tag:yaml.org,2002:str'"),
        ("a: !!python/object:os.system 1\n", 1, "tags are not read", "remove"),
        ("!x\na: 1\n", 1, "tags are not read", "remove '!x'"),
        ("a: b: c\n", 1, "this is not YAML", "a colon and a space needs quotes"),
        ("a: [1\n", 2, "this is not YAML", "indentation and the quotes"),
        ("a: 'x\n", 2, "this is not YAML", "indentation and the quotes"),
        ("? [a]\n: 1\n", 1, "a key is a word", ""),
        ("? {a: 1}\n: 1\n", 1, "a key is a word", ""),
        ("a: 1\n---\nb: 1\n", 2, "a second document", "remove the `---`"),
        ("a: 1\nb: \x00\n", 2, "no YAML file may hold", ""),
        ("a: 1\nb: \x1b[2J\n", 2, "no YAML file may hold", ""),
        ('a: 1\nb: "\\x1b[2J"\n', 2, "'\\x1b[2J' has a character that cannot be printed", ""),
        ('a: 1\nb: "\\ud800"\n', 2, "cannot be printed", ""),
        ('a: 1\n"b\\0": 1\n', 2, "cannot be printed", ""),
        ("a: 1\nb: |\n  c\n  d\n", 2, "cannot be printed", ""),
        ("%YAML 2.0\n---\na: 1\n", 1, "this is not YAML", ""),
    ],
)
def test_what_is_refused_is_named_with_its_line(text: str, line: int, says: str, hint: str) -> None:
    problem = problem_of(text)
    assert (problem.file, problem.line) == (FILE, line)
    assert says in problem.message
    assert hint in problem.hint
    assert str(problem).isprintable()


def test_the_same_without_the_mistake_is_read() -> None:
    assert build("a:\n  b: '*'\nc: ['**', '@b', 'b: c']\n", FILE).plain() == {
        "a": {"b": "*"},
        "c": ["**", "@b", "b: c"],
    }
    assert build("---\na: 1\n...\n", FILE).plain() == {"a": 1}
    assert build(b"\xef\xbb\xbfa: 1\n", FILE).plain() == {"a": 1}  # editors write such marks


def test_text_that_is_not_utf8_is_named_with_its_line() -> None:
    problem = problem_of(b"a: 1\nb: \xff\n")
    assert (problem.line, problem.message) == (2, "the file is not UTF-8")


@pytest.mark.parametrize("as_bytes", [True, False])
def test_class_38_oversized_input_is_refused_unread(as_bytes: bool) -> None:
    def padded(length: int) -> str | bytes:
        text = text_of(SMALL)
        text += "#" * (length - len(text))
        return text.encode() if as_bytes else text

    assert build(padded(MAX_FILE_BYTES), FILE).plain() == SMALL
    assert f"more than {MAX_FILE_BYTES} bytes" in problem_of(padded(MAX_FILE_BYTES + 1)).message


def test_depth_is_bounded() -> None:
    assert build("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH, FILE).line == 1
    deeper = "[" * (MAX_DEPTH + 1) + "1" + "]" * (MAX_DEPTH + 1)
    assert "nested deeper" in problem_of(deeper).message


def test_a_bomb_costs_no_more_than_its_first_level() -> None:
    assert "nested deeper" in problem_of("[" * 500_000).message
    lines = [f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]" for n in range(30)]
    assert problem_of("\n".join(["a0: &a0 [x, x]", *lines])).line == 1


@given(st.text("ab:-[]{}'\"#&*!|>%@` \n\t?,.0\\", max_size=40))
def test_any_text_is_a_tree_or_one_printable_problem(text: str) -> None:
    try:
        root = build(text, FILE)
    except ConfigError as error:
        (problem,) = error.problems
        assert str(problem).isprintable()
        assert 1 <= problem.line <= text.count("\n") + 1
    else:
        assert json.dumps(root.plain())
