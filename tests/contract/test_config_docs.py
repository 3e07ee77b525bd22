"""The structs, the example file and the page about them say the same."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from hbd.config import Config, ConfigFile, changes, load
from hbd.config.reload import NEEDS_RESTART
from hbd.config.structs import Threshold, Thresholds
from hbd.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "config_example.yaml").read_text()
DOCS = (ROOT / "docs" / "config.md").read_text()


def keys_of(kind: inspect.Type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(key as the page writes it, its default) of every field, down to the last level."""
    if isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.CustomType) and kind.cls is Thresholds:
        yield from keys_of(inspect.type_info(Threshold), prefix.replace("<name>", "<…>"))
    if isinstance(kind, inspect.DictType):
        yield from keys_of(kind.value_type, f"{prefix}<name>.")
    if not isinstance(kind, inspect.StructType):
        return
    for field in kind.fields:
        key = f"{prefix}{field.encode_name}"
        default = field.default if field.default is not msgspec.NODEFAULT else None
        is_section = isinstance(field.type, inspect.StructType)
        if not is_section:
            yield key, default
        if is_section or isinstance(field.type, inspect.DictType):
            yield from keys_of(field.type, f"{key}.")


KEYS = dict(keys_of(inspect.type_info(ConfigFile)))


def switched_on(text: str) -> str:
    """The example with the # of every setting taken away."""
    return re.sub(r"(?m)^#(?=\S|  +\S)", "", text)


def test_the_example_loads_without_a_warning() -> None:
    assert load(ROOT / "config_example.yaml").warnings == ()


def test_the_example_says_what_the_defaults_are() -> None:
    assert changes(Config(), load(ROOT / "config_example.yaml")) == []


def test_the_whole_example_has_no_problem_but_certificates_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "hbd.yaml").write_text(switched_on(EXAMPLE))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "hbd.yaml")
    assert [problem.split(": ")[1] for problem in caught.value.problems] == ["wss_pem", "wss_key"]


@pytest.mark.parametrize("key", sorted(KEYS))
def test_key_stands_in_the_example(key: str) -> None:
    assert re.search(rf"(?m)^[# ]*([\w\"*-]+: {{)?{re.escape(key.rpartition('.')[2])}:", EXAMPLE)


@pytest.mark.parametrize("key", sorted(KEYS))
def test_key_has_a_row_on_the_page(key: str) -> None:
    assert f"\n| `{key}` |" in DOCS


def test_the_page_has_rows_for_keys_alone() -> None:
    rows = re.findall(r"(?m)^\| `([a-z_.<>…]+)` \| .* \| .* \|$", DOCS[DOCS.index("## Keys") :])
    assert sorted(rows) == sorted(KEYS)


def test_the_page_names_what_needs_a_restart() -> None:
    paragraph = DOCS[DOCS.index("These keys are taken") : DOCS.index("## How values")]
    assert set(re.findall(r"`(\w+)`", paragraph)) == NEEDS_RESTART


def test_the_example_marks_what_needs_a_restart() -> None:
    for key in NEEDS_RESTART:
        before = EXAMPLE[: re.search(rf"(?m)^#?{key}:", EXAMPLE).start()]  # type: ignore[union-attr]
        assert "(restart)" in before[before.rindex("\n\n") :], key


@pytest.mark.parametrize("key", sorted(key for key, default in KEYS.items() if isinstance(default, int | float)))
def test_the_page_gives_the_default(key: str, tmp_path: Path) -> None:
    row = next(line for line in DOCS.splitlines() if line.startswith(f"| `{key}` |"))
    written = row.split("|")[2].strip().strip("`")
    path = key.split(".")
    if "<" in key or not re.fullmatch(r"[0-9].*", written):
        assert written in (str(KEYS[key]).lower(), f"{KEYS[key]:g}")
        return
    indented = "".join(f"{'  ' * level}{name}:\n" for level, name in enumerate(path)).rstrip("\n")
    (tmp_path / "hbd.yaml").write_text(f"{indented} {written}\n")
    assert changes(Config(), load(tmp_path / "hbd.yaml")) == []
