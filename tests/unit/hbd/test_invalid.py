"""What is wrong with what somebody sent."""

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from hbd.web.invalid import invalid


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Item(Struct, rename={"level": "severity"}):
    level: Literal["low", "high"] = "low"


class Document(Struct, omit_defaults=True):
    colour: Colour | None = None
    items: list[Item] = []
    by_name: dict[str, Colour] = {}
    number: Annotated[Literal[1, 2], Meta(description="of two")] = 1
    limit: Annotated[int, Meta(ge=1)] = 1


def told(document: Any, kind: Any = Document) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(document, kind)
    return str(invalid(caught.value, kind))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"colour": "green"}, "colour: expected one of red, blue, not 'green'"),
        ({"items": [{}, {"severity": "odd"}]}, "items[1].severity: expected one of high, low, not 'odd'"),
        ({"by_name": {"roof": "grey"}}, "by_name[...]: expected one of red, blue, not 'grey'"),
        ({"number": 3}, "number: expected one of 1, 2, not 3"),
    ],
)
def test_what_would_be_taken_is_named(document, words):
    assert told(document) == words


def test_a_limit_is_named_with_its_field():
    assert told({"limit": 0}) == "limit: expected int >= 1"


def test_a_document_of_another_shape_has_no_field():
    assert told([]) == "expected object, got array"


def test_what_was_sent_is_not_told_at_length():
    assert len(told({"colour": "x" * 10_000})) < 150


def test_a_list_is_looked_into():
    assert told(["odd"], list[Literal["a", "b"]]) == "[0]: expected one of a, b, not 'odd'"
