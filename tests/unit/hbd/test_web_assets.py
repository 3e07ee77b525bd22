from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from hbd.web.assets import Assets, icon_name, static_folder


@pytest.fixture(scope="module")
def assets() -> Assets:
    return Assets(static_folder())


def test_every_module_that_is_imported_is_served(assets: Assets) -> None:
    entry = assets.modules("live.js")
    assert entry[0] == assets.url("js/live.js")
    for url in entry:
        asset = assets.get(url.removeprefix("/static/"))
        assert asset is not None
        assert {assets.url(f"js/{name}") for name in re.findall(r'from "\./([^"]+)"', asset.content.decode())} <= set(
            entry
        )


def test_page_loads_no_module_that_it_does_not_need(assets: Assets) -> None:
    assert assets.url("js/table.js") not in assets.modules("status.js")


def test_packed_file_is_the_same_file(assets: Assets) -> None:
    asset = assets.get(assets.url("hbd.css").removeprefix("/static/"))
    assert asset is not None and asset.packed is not None
    assert gzip.decompress(asset.packed) == asset.content


def test_templates_are_not_served(assets: Assets) -> None:
    assert assets.get(f"{assets.version}/templates/base.html") is None


@pytest.mark.parametrize(
    "key", ["", "..", "../pyproject.toml", "{version}/../hbd.css", "{version}//hbd.css", "{version}"]
)
def test_only_names_in_the_table_are_served(assets: Assets, key: str) -> None:
    assert assets.get(key.format(version=assets.version)) is None


def test_url_changes_when_any_file_changes(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a")
    (tmp_path / "b.js").write_text("b")
    before = Assets(tmp_path).url("a.css")
    (tmp_path / "b.js").write_text("c")
    assert Assets(tmp_path).url("a.css") != before


def test_icon_counts_up_to_nine_and_then_says_more(assets: Assets) -> None:
    assert icon_name("critical", 250) == "icon-critical-10.svg"
    asset = assets.get(assets.url("icon-critical-10.svg").removeprefix("/static/"))
    assert asset is not None
    assert b">9+<" in asset.content


def test_no_file_names_another_origin(assets: Assets) -> None:
    vendored = static_folder() / "vendor"  # names its sources in comments
    for path in static_folder().rglob("*"):
        if path.is_file() and vendored not in path.parents:
            found = set(re.findall(r"(?:https?|wss?):?//[^\s\"'`{]+", path.read_text()))
            assert found <= {"http://www.w3.org/2000/svg"}, path.name


def test_templates_have_no_inline_script_or_style() -> None:
    for path in (static_folder() / "templates").glob("*.html"):
        text = path.read_text()
        assert not re.search(r"\sstyle=|\son\w+=|<style", text), path.name
        for attributes in re.findall(r"<script([^>]*)>", text):
            assert "src=" in attributes or "application/json" in attributes, path.name
