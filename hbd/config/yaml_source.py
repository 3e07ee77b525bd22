"""YAML text to nodes that know their lines. No value changes its meaning on the way.

PyYAML's events are used and its constructors are not: YAML 1.1 would make ``on`` a boolean, ``010`` the number 8,
``22:22`` the number 1342 and ``2024-01-01`` a date. Here a plain scalar is null, true/false, a decimal number, or text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

MAX_DEPTH = 32
MAX_NODES = 500_000  # aliases counted as often as they are used
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,30})")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]{1,4})?")


class YamlError(Exception):
    """The text is not YAML that we read. line: counted from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


class Node:
    """Something in the file. size: nodes in it; depth: levels in it; both with aliases written out."""

    __slots__ = ("depth", "line", "size")

    def __init__(self, line: int) -> None:
        self.line = line
        self.size = 1
        self.depth = 1

    def _take(self, child: Node, line: int) -> None:
        self.size += child.size
        self.depth = max(self.depth, child.depth + 1)
        if self.size > MAX_NODES:
            raise YamlError(line, f"more than {MAX_NODES} values, aliases written out")
        if self.depth > MAX_DEPTH:
            raise YamlError(line, f"nested deeper than {MAX_DEPTH} levels")


class Scalar(Node):
    """One value. text: as written, quotes removed."""

    __slots__ = ("quoted", "text")

    def __init__(self, line: int, text: str, quoted: bool = False) -> None:
        super().__init__(line)
        self.text = text
        self.quoted = quoted

    @property
    def value(self) -> str | int | float | bool | None:
        if self.quoted:
            return self.text
        if self.text in _NULL:
            return None
        if self.text in _BOOL:
            return _BOOL[self.text]
        if _INT.fullmatch(self.text):
            return int(self.text)
        if _FLOAT.fullmatch(self.text):
            return float(self.text)
        return self.text


class Items(Node):
    """A list."""

    __slots__ = ("items",)

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.items: list[Node] = []

    def add(self, child: Node, line: int) -> None:
        self._take(child, line)
        self.items.append(child)


class Pairs(Node):
    """A mapping, in file order, double keys and all."""

    __slots__ = ("_key", "pairs")

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.pairs: list[tuple[Scalar, Node]] = []
        self._key: Scalar | None = None

    def add(self, child: Node, line: int) -> None:
        self._take(child, line)
        if self._key is not None:
            self.pairs.append((self._key, child))
            self._key = None
        elif isinstance(child, Scalar):
            self._key = child
        else:
            raise YamlError(child.line, "a key must be a word or a number, not a list or a mapping")


def parse(text: str) -> Node | None:
    """The one document in text, None when there is nothing in it. Raises YamlError."""
    try:
        return _compose(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        raise _explained(error, text) from error
    except yaml.reader.ReaderError as error:
        line = text.encode()[: error.position].count(b"\n") + 1
        raise YamlError(line, f"a character that YAML does not allow: {error.reason}") from error


def _explained(error: yaml.MarkedYAMLError, text: str) -> YamlError:
    """PyYAML's words, and where the thing began that was not finished."""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    lines = text.split("\n")
    if mark and mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t":
        return YamlError(line, "a tab; YAML is indented with spaces alone")
    reason = error.problem or "not YAML"
    if error.context:
        reason += f", {error.context}"
        if error.context_mark and error.context_mark.line + 1 != line:
            reason += f" that begins on line {error.context_mark.line + 1}"
    return YamlError(line, reason)


def _compose(events: Iterator[yaml.Event]) -> Node | None:
    """Builds the tree without recursion, so that depth is a matter of counting."""
    anchors: dict[str, Node] = {}
    open_nodes: list[tuple[Items | Pairs, str | None]] = []
    root: Node | None = None
    documents = 0
    for event in events:
        line = event.start_mark.line + 1 if event.start_mark else 1
        node: Node
        anchor: str | None = None
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise YamlError(line, "a second document starts here (---); one file holds one")
            continue
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise YamlError(line, f"*{event.anchor} is used before &{event.anchor} is complete")
            node = anchors[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            _refuse_tag(event.tag, line)
            node = Scalar(line, event.value, quoted=bool(event.style))
            anchor = event.anchor
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            _refuse_tag(event.tag, line)
            if len(open_nodes) >= MAX_DEPTH:
                raise YamlError(line, f"nested deeper than {MAX_DEPTH} levels")
            opened = Items(line) if isinstance(event, yaml.SequenceStartEvent) else Pairs(line)
            open_nodes.append((opened, event.anchor))
            continue
        elif isinstance(event, yaml.CollectionEndEvent):
            node, anchor = open_nodes.pop()
        else:
            continue
        if anchor is not None:
            anchors[anchor] = node
        if open_nodes:
            open_nodes[-1][0].add(node, line)
        else:
            root = node
    return root


def _refuse_tag(tag: str | None, line: int) -> None:
    if tag is not None:
        raise YamlError(line, f"the tag {tag} is not used here; text that begins with ! needs quotes")
