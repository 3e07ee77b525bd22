"""Documents as changes: taken apart, packed, thinned, and put together again."""

from __future__ import annotations

import json
import zlib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbd import chronicle
from hbd.chronicle import Change

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
DOCS = st.dictionaries(st.sampled_from(["a", "b", "c", "alerts"]), VALUES, min_size=1, max_size=4)
HISTORIES = st.lists(DOCS, min_size=1, max_size=8)


def as_json(doc: Any) -> str:
    return json.dumps(doc, sort_keys=True)


def changes_of(docs: list[dict[str, Any]], first: int = 1_000) -> list[Change]:
    changes = [chronicle.base(docs[0], first)]
    for step, (before, after) in enumerate(pairwise(docs), 1):
        change = chronicle.difference(before, after, first + step * 1_000)
        if change is not None:
            changes.append(change)
    return changes


@given(DOCS)
def test_a_document_is_the_same_after_it_was_taken_apart(doc: dict[str, Any]) -> None:
    assert as_json(chronicle.unflatten(chronicle.flatten(doc))) == as_json(doc)


@given(HISTORIES)
def test_each_document_of_a_history_comes_back_from_what_was_written(docs: list[dict[str, Any]]) -> None:
    changes = chronicle.from_rows(chronicle.to_rows(changes_of(docs)))
    for step, doc in enumerate(docs):
        assert as_json(chronicle.unflatten(chronicle.apply({}, changes, 1_000 + step * 1_000))) == as_json(doc)


@given(HISTORIES)
def test_each_document_of_a_history_comes_back_from_what_was_packed(docs: list[dict[str, Any]]) -> None:
    packed = chronicle.pack(changes_of(docs))
    for step, doc in enumerate(docs):
        leaves = chronicle.packed_at(packed, 1_000 + step * 1_000)
        assert leaves is not None
        assert as_json(chronicle.unflatten(leaves)) == as_json(doc)


@given(HISTORIES, st.integers(0, 3))
def test_a_base_in_the_midst_of_a_history_forgets_what_was_before(docs: list[dict[str, Any]], count: int) -> None:
    again = chronicle.base({"only": count}, 100_000)
    packed = chronicle.pack([*changes_of(docs), again])
    assert chronicle.packed_at(packed, 100_000) == {("only",): count}


@given(HISTORIES)
def test_what_was_packed_is_unpacked_to_the_same_changes(docs: list[dict[str, Any]]) -> None:
    changes = changes_of(docs)
    unpacked = chronicle.unpack(chronicle.pack(changes))
    assert [(one.at, one.base, as_json(sorted(map(str, one.put))), sorted(map(str, one.gone))) for one in unpacked] == [
        (one.at, one.base, as_json(sorted(map(str, one.put))), sorted(map(str, one.gone))) for one in changes
    ]


@given(HISTORIES)
def test_a_thinned_history_has_the_last_document_of_each_span(docs: list[dict[str, Any]]) -> None:
    changes = changes_of(docs)
    thinned = chronicle.thin(changes, 3_000)
    for end in range(2_999, 12_000, 3_000):
        assert chronicle.apply({}, thinned, end) == chronicle.apply({}, changes, end)


def test_a_thinned_history_is_smaller() -> None:
    docs: list[dict[str, Any]] = [{"n": number} for number in range(100)]
    assert len(chronicle.thin(changes_of(docs), 10_000)) == 12  # the base, and one of each of eleven spans


def test_numbers_of_few_decimals_are_kept_as_steps() -> None:
    docs: list[dict[str, Any]] = [{"at": 1_763_000_400.125 + 10 * step} for step in range(1_000)]
    assert len(chronicle.pack(changes_of(docs))) < 200


@pytest.mark.parametrize("values", [[1, 1.0, True], [0.1, 0.25, 1e-9], [2**60, 1, 2]])
def test_a_number_comes_back_as_it_was_written(values: list[Any]) -> None:
    docs: list[dict[str, Any]] = [{"n": value, "step": step} for step, value in enumerate(values)]
    packed = chronicle.pack(changes_of(docs))
    found = [dict(chronicle.packed_at(packed, 1_000 + step * 1_000) or {})[("n",)] for step in range(len(values))]
    assert list(map(repr, found)) == list(map(repr, values))


def test_before_its_first_change_a_window_knows_nothing() -> None:
    assert chronicle.packed_at(chronicle.pack(changes_of([{"a": 1}])), 999) is None


def test_the_same_document_makes_no_change() -> None:
    assert chronicle.difference({"a": [{"b": 1.5}], "t": ["x"]}, {"a": [{"b": 1.5}], "t": ["x"]}, 5) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02abc",
        b"\x01abc",
        b"\x01" + zlib.compress(b"[1]"),
        b"\x01" + zlib.compress(b"[[1],[0],[[[],[],[],9,true,[]]]]"),
    ],
)
def test_damaged_bytes_are_a_clear_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        changes = chronicle.unpack(data)
        assert changes is None


@given(st.binary(max_size=60))
def test_no_bytes_whatever_do_harm(noise: bytes) -> None:
    for read in (chronicle.unpack, chronicle.from_rows, lambda data: chronicle.packed_at(data, 5)):
        for data in (noise, b"\x01" + noise, b"\x01" + zlib.compress(noise), zlib.compress(noise)):
            try:
                read(data)
            except ValueError as error:
                assert str(error)
