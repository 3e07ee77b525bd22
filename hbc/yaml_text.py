"""YAML as people mean it: plain values, and the line of each.

Texts stay texts: of YAML's many spellings only ``true``/``false``, ``null`` and plain decimal numbers are anything
else, so ``no``, ``010``, ``22:30`` and dates arrive as written. Keys given twice and tags are problems, not surprises.
"""

from __future__ import annotations

import re
from typing import Any

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")
_LEADING_ZERO = re.compile(r"[-+]?0\d")
_WORDS: dict[str, bool | None] = {"true": True, "True": True, "false": False, "False": False}
_WORDS |= {"null": None, "~": None, "": None}
_NODES = 20_000  # aliases counted each time: a small file can stand for a huge tree
_DEPTH = 20


def parse(raw: bytes) -> tuple[Any, dict[str, int], list[tuple[int, str]]]:
    """Plain values, the line of each key path, and the problems of the YAML itself as (line, text)."""
    import yaml

    lines: dict[str, int] = {"": 1}
    problems: list[tuple[int, str]] = []
    budget = _NODES

    def value(node: Any, path: str, depth: int) -> Any:
        nonlocal budget
        budget -= 1
        line = node.start_mark.line + 1
        lines.setdefault(path, line)
        if budget < 0 or depth > _DEPTH:
            raise ValueError("too large or too deeply nested")
        if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
            problems.append((line, f"{path}: the tag {node.tag} means nothing here"))
            return None
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.style else _scalar(node.value)
        if isinstance(node, yaml.SequenceNode):
            return [value(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(node.value)]
        mapping: dict[str, Any] = {}
        for key_node, item in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                problems.append((line, f"{path}: a key must be a word"))
                continue
            key = key_node.value
            below = f"{path}.{key}" if path else key
            if key in mapping:
                problems.append((line, f"{below}: given a second time (first in line {lines[below]})"))
                continue
            lines[below] = line
            mapping[key] = value(item, below, depth + 1)
        return mapping

    try:
        text = raw.decode()
        node = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text).get_single_node()
        tree = {} if node is None else value(node, "", 0)
    except UnicodeDecodeError as error:
        return {}, lines, [(raw[: error.start].count(b"\n") + 1, "not UTF-8 text")]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        return {}, lines, [(mark.line + 1 if mark else 1, f"not YAML: {reason}")]
    except (ValueError, RecursionError) as error:
        return {}, lines, [(1, str(error) if isinstance(error, ValueError) else "too deeply nested")]
    if tree is not None and not isinstance(tree, dict):
        return {}, lines, [*problems, (1, "must be `key: value` lines")]
    return tree or {}, lines, problems


def _scalar(text: str) -> str | int | float | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    match = _NUMBER.fullmatch(text)
    if match is None or _LEADING_ZERO.match(text) or len(text) > 30:
        return text
    return float(text) if match[1] or match[2] else int(text)
