"""Nodes to structs, value by value, so that every problem is found and not the first alone."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from msgspec import inspect

from hbd.config.leaves import LEAVES, Leaf, Wrong, read_bool, read_int, read_number, read_text
from hbd.config.structs import ChannelSettings, ConfigFile, Secret, Section, Threshold, Thresholds
from hbd.config.yaml_source import Items, Node, Pairs, Scalar

BAD: Any = object()  # stands for a value that could not be read; its problem is on the list
Shape = TypeVar("Shape", bound=Section)
_MAPPING = 'a mapping (lines of "key: value")'


class Problem(NamedTuple):
    line: int
    key: str
    reason: str


class Reading:
    """One reading of one file. ``folder``: where relative paths start. ``lines``: where each key stands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[Problem] = []
        self.lines: dict[str, int] = {}
        self._bad: set[str] = set()  # keys with a problem, and all that they stand in

    def read_file(self, root: Node) -> ConfigFile:
        return self.read(ConfigFile, root)

    def read(self, kind: type[Shape], root: Node) -> Shape:
        """What could be read of a file of that shape; keys with a problem are at their defaults."""
        read: Shape = self._read(inspect.type_info(kind), root, "")
        return kind() if read is BAD else read

    def problem(self, line: int, key: str, reason: str) -> Any:
        self.problems.append(Problem(line, key or "file", reason))
        for bad in around(key):
            if bad in self._bad:
                break
            self._bad.add(bad)
        return BAD

    def is_bad(self, key: str) -> bool:
        """Whether something in this key could not be read."""
        return key in self._bad

    def _read(self, kind: inspect.Type, node: Node, key: str) -> Any:
        reads_as = ""
        if isinstance(kind, inspect.UnionType):
            (kind,) = (member for member in kind.types if not isinstance(member, inspect.NoneType))
        if isinstance(kind, inspect.Metadata):
            reads_as, kind = (kind.extra or {})["as"], kind.type
        if isinstance(kind, inspect.StructType):
            return self._struct(kind, node, key)
        if isinstance(kind, inspect.DictType):
            return self._dict(kind, node, key)
        if isinstance(kind, inspect.VarTupleType):
            if reads_as == "one or more" and isinstance(node, Scalar):
                node = _list_of(node)
            return self._list(kind, node, key)
        if isinstance(kind, inspect.CustomType):
            if kind.cls is Thresholds:
                return self._thresholds(node, key)
            if kind.cls is ChannelSettings:
                return self._channel(node, key)
        return self._leaf(kind, reads_as, node, key)

    def _pairs(self, node: Pairs, key: str, *, any_case: bool = False) -> Iterator[tuple[str, str, Scalar, Node]]:
        """(name, full key, name's node, value's node), each name once."""
        seen: dict[str, int] = {}
        for name_node, value in node.pairs:
            name = name_node.text
            full_key = _shown(f"{key}.{name}" if key else name)
            identity = name.lower() if any_case else name
            if identity in seen:
                self.problem(name_node.line, full_key, f"given twice, first on line {seen[identity]}")
                continue
            seen[identity] = name_node.line
            self.lines[full_key] = name_node.line
            yield name, full_key, name_node, value

    def _struct(self, kind: inspect.StructType, node: Node, key: str) -> Any:
        if not isinstance(node, Pairs):
            return self._unexpected(_MAPPING, node, key)
        fields = {field.encode_name: field for field in kind.fields}
        values = {}
        for name, full_key, name_node, value in self._pairs(node, key):
            if name not in fields:
                self.problem(name_node.line, full_key, _unknown(name, list(fields)))
            elif not _is_nothing(value):
                read = self._read(fields[name].type, value, full_key)
                if read is not BAD:
                    values[fields[name].name] = read
        return kind.cls(**values)

    def _dict(self, kind: inspect.DictType, node: Node, key: str) -> Any:
        if not isinstance(node, Pairs):
            return self._unexpected(_MAPPING, node, key)
        of_hosts = isinstance(kind.key_type, inspect.Metadata)
        values = {}
        for _, full_key, name_node, value in self._pairs(node, key, any_case=of_hosts):
            name = self._read(kind.key_type, name_node, full_key)
            if _is_nothing(value):
                value = Pairs(value.line)
            read = self._read(kind.value_type, value, full_key)
            if name is not BAD and read is not BAD:
                values[name] = read
        return values

    def _list(self, kind: inspect.VarTupleType, node: Node, key: str) -> Any:
        if not isinstance(node, Items):
            return self._unexpected('a list (lines of "- value")', node, key)
        values = (self._read(kind.item_type, item, f"{key}[{index}]") for index, item in enumerate(node.items))
        return tuple(value for value in values if value is not BAD)

    def _thresholds(self, node: Node, key: str) -> Any:
        found = Thresholds()
        if isinstance(node, Pairs):
            self._metrics(node, key, (), found)
            return found
        return self._unexpected(_MAPPING, node, key)

    def _metrics(self, node: Pairs, key: str, path: tuple[str, ...], found: Thresholds) -> None:
        """Walks plugin, metric and nested names down to the mappings that hold a threshold."""
        for name, full_key, _, value in self._pairs(node, key):
            here = (*path, name)
            if not isinstance(value, Pairs):
                self._unexpected("a mapping: plugin, then metric, then warning, critical …", value, full_key)
            elif path and not all(isinstance(inner, Pairs) for _, inner in value.pairs):
                threshold = self._read(inspect.type_info(Threshold), value, full_key)
                if threshold is not BAD:
                    found[here] = threshold
            else:
                self._metrics(value, full_key, here, found)

    def _channel(self, node: Node, key: str) -> Any:
        settings = self._plain(node, key)
        if not isinstance(settings, dict):
            return self._unexpected(_MAPPING, node, key)
        if not isinstance(settings.get("type"), str):
            return self.problem(node.line, key, "expected a type, such as type: email")
        return ChannelSettings(settings)

    def _plain(self, node: Node, key: str) -> Any:
        """The node as Python values; a number that would not print as it is written stays text, as a token might be."""
        if isinstance(node, Pairs):
            return {name: self._plain(value, full_key) for name, full_key, _, value in self._pairs(node, key)}
        if isinstance(node, Items):
            return [self._plain(item, key) for item in node.items]
        assert isinstance(node, Scalar)
        lossless = not isinstance(node.value, int | float) or str(node.value) in (node.text, node.text.capitalize())
        return node.value if lossless else node.text

    def _leaf(self, kind: inspect.Type, reads_as: str, node: Node, key: str) -> Any:
        leaf = LEAVES[reads_as] if reads_as else self._leaf_of(kind)
        secret = isinstance(kind, inspect.CustomType) and kind.cls is Secret
        if not isinstance(node, Scalar) or _is_nothing(node):
            return self._unexpected(leaf.expected, node, key)
        try:
            value = leaf.read(node)
            _require_bounds(kind, value)
        except Wrong as wrong:
            return self._unexpected(leaf.expected, node, key, hint=wrong.hint, secret=secret)
        return value

    def _leaf_of(self, kind: inspect.Type) -> Leaf:
        if isinstance(kind, inspect.BoolType):
            return Leaf("true or false", read_bool)
        if isinstance(kind, inspect.IntType):
            return Leaf(f"a whole number{_bounds(kind)}", read_int)
        if isinstance(kind, inspect.FloatType):
            return Leaf(f"a number{_bounds(kind)}", lambda scalar: float(read_number(scalar)))
        if isinstance(kind, inspect.LiteralType):
            words = [str(word) for word in kind.values]
            return Leaf(f"one of {', '.join(words)}", lambda scalar: _one_of(scalar, words))
        if isinstance(kind, inspect.CustomType) and kind.cls is Path:
            return Leaf("a path", self._path)
        assert isinstance(kind, inspect.StrType)
        return Leaf("text", read_text)

    def _path(self, scalar: Scalar) -> Path:
        text = read_text(scalar)
        if not text:
            raise Wrong
        try:
            return self.folder / Path(text).expanduser()
        except RuntimeError:
            raise Wrong("nobody knows that home directory") from None

    def _unexpected(self, expected: str, node: Node, key: str, *, hint: str = "", secret: bool = False) -> Any:
        found = "something else" if secret else _found(node)
        return self.problem(node.line, key, f"expected {expected}, found {found}" + (f"; {hint}" if hint else ""))


def around(key: str) -> Iterator[str]:
    """The key and each that it stands in: ``hosts.web1.tags[2]``, ``hosts.web1.tags``, ``hosts.web1``, ``hosts``."""
    while key:
        yield key
        key = key[: max(key.rfind("."), key.rfind("["), 0)]


def _is_nothing(node: Node) -> bool:
    """A key without a value counts as not given."""
    return isinstance(node, Scalar) and node.value is None


def _list_of(scalar: Scalar) -> Items:
    items = Items(scalar.line)
    items.add(scalar, scalar.line)
    return items


def _one_of(scalar: Scalar, words: list[str]) -> str:
    if scalar.text in words:
        return scalar.text
    close = difflib.get_close_matches(scalar.text, words, 1)
    raise Wrong(f"did you mean {close[0]}?" if close else "")


def _require_bounds(kind: inspect.Type, value: Any) -> None:
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        if kind.ge is not None and value < kind.ge:
            raise Wrong(f"the least is {kind.ge:g}")
        if kind.le is not None and value > kind.le:
            raise Wrong(f"the most is {kind.le:.12g}")
    elif isinstance(kind, inspect.StrType):
        if kind.min_length and len(value) < kind.min_length:
            raise Wrong("it must not be empty")
        if kind.max_length and len(value) > kind.max_length:
            raise Wrong(f"the most is {kind.max_length} characters")


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" {kind.ge:g}-{kind.le:.12g}"
    return f" of at least {kind.ge:g}" if kind.ge is not None else ""


def _unknown(name: str, known: list[str]) -> str:
    if name == "<<":
        return "unknown key; merging (<<) is not part of this format"
    close = difflib.get_close_matches(name, known, 1, cutoff=0.7)
    return f"unknown key; did you mean {close[0]}?" if close else f"unknown key; known here: {', '.join(sorted(known))}"


def _found(node: Node) -> str:
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Pairs):
        return "a mapping"
    assert isinstance(node, Scalar)
    if node.value is None:
        return "nothing"
    return f'"{_shown(node.text)}"' if isinstance(node.value, str) else _shown(node.text)


def _shown(text: str, most: int = 200) -> str:
    """Text of the file that is safe in one line of a log."""
    text = "".join(character if character.isprintable() else "�" for character in text)
    return text if len(text) <= most else f"{text[:most]}…"
