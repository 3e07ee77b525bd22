"""YAML text to nodes."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hbd.config import yaml_source
from hbd.config.yaml_source import Items, Node, Pairs, Scalar, YamlError, parse


def plain(node: Node | None) -> Any:
    """The node as Python values."""
    if isinstance(node, Pairs):
        return {key.text: plain(value) for key, value in node.pairs}
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    assert isinstance(node, Scalar)
    return node.value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.5e-3", 0.0015),
        ("010", "010"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("1:30", "1:30"),
        ("yes", "yes"),
        ("off", "off"),
        ("2024-01-31", "2024-01-31"),
        ("1.2.3", "1.2.3"),
        (".nan", ".nan"),
        ("=", "="),
        ("'true'", "true"),
        ('"5"', "5"),
        ("''", ""),
    ],
)
def test_scalar_means_what_it_looks_like(written: str, value: object) -> None:
    found = plain(parse(f"a: {written}\n"))["a"]
    assert (found, type(found)) == (value, type(value))


def test_nodes_know_their_lines() -> None:
    root = parse("a: 1\n\nb:\n  - x\n  - y\n")
    assert isinstance(root, Pairs)
    (_, list_of_two) = root.pairs[1]
    assert isinstance(list_of_two, Items)
    assert [item.line for item in list_of_two.items] == [4, 5]


def test_keys_given_twice_are_all_there() -> None:
    root = parse("a: 1\na: 2\n")
    assert isinstance(root, Pairs)
    assert [key.text for key, _ in root.pairs] == ["a", "a"]


def test_aliases_are_counted_as_often_as_they_are_used() -> None:
    root = parse("a: &x [1, 2]\nb: *x\n")
    assert root is not None
    assert (root.size, root.depth) == (1 + 2 + 3 + 3, 3)


def test_text_without_a_document_is_nothing() -> None:
    assert parse("# only a comment\n") is None


def test_many_nodes_without_aliases_are_taken_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_source, "MAX_NODES", 5)
    assert plain(parse("[a, b, c, d]")) == ["a", "b", "c", "d"]
    with pytest.raises(YamlError, match="more than 5 values"):
        parse("[a, b, c, d, e]")


def test_a_hundred_thousand_brackets_are_refused_at_once() -> None:
    with pytest.raises(YamlError, match="nested deeper"):
        parse("[" * 100_000)


def test_the_python_parser_gives_the_same_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'a: [1, "2", ~]\nb: {c: "", d: on}\ne: |\n  text\n'
    fast = plain(parse(text))
    monkeypatch.setattr(yaml_source, "_LOADER", yaml.SafeLoader)
    assert plain(parse(text)) == fast


# Without e: PyYAML writes text such as 1e3 without quotes, and that is a number here.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="eE"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz", min_size=1), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(VALUES)
def test_what_yaml_writes_comes_back(value: object) -> None:
    assert plain(parse(yaml.safe_dump(value))) == value


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(st.sampled_from("ab:-?[]{}&*!|>'\"%@`#, \n\t\x00\x85é0."), max_size=60))
def test_any_text_is_parsed_or_refused_with_a_line(text: str) -> None:
    try:
        parse(text)
    except YamlError as error:
        line_breaks = text.count("\n") + text.count("\x85")  # YAML's idea of a line break
        assert 1 <= error.line <= line_breaks + 2
