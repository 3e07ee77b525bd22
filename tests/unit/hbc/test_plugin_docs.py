from pathlib import Path

import pytest

from hbc.plugins import PLUGINS, custom
from hbc.plugins.base import Machine, Unavailable

PAGE = (Path(__file__).parents[3] / "docs/plugins.md").read_text()
SECTIONS = {part.partition("\n")[0].strip("` "): part for part in PAGE.split("\n### ")[1:]}


@pytest.mark.parametrize("name", PLUGINS)
def test_plugin_has_its_section(name):
    assert name in SECTIONS


@pytest.mark.parametrize(
    ("plugin", "metric"), [(name, metric) for name, kind in PLUGINS.items() for metric in kind.metrics], ids=str
)
def test_metric_is_told_with_its_unit(plugin, metric):
    assert f"| `{metric.name}` | {metric.unit} | {metric.help} |" in SECTIONS[plugin]


@pytest.mark.parametrize(("plugin", "option"), [(name, o) for name, kind in PLUGINS.items() for o in kind.options])
def test_option_is_told(plugin, option):
    assert f"`{option}`" in SECTIONS[plugin]


def test_plugin_in_ten_lines_is_taken_as_it_stands(tmp_path):
    example = PAGE.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "users.py").write_text(example)
    tmp_path.chmod(0o755)
    (tmp_path / "users.py").chmod(0o644)
    found, problems = custom.load([tmp_path])

    assert (list(found), problems) == (["users"], [])
    assert len([line for line in example.splitlines() if line]) <= 10


@pytest.mark.parametrize("linux", [True, False])
@pytest.mark.parametrize("kind", [kind for kind in PLUGINS.values() if kind.standard])
def test_everything_measured_here_is_declared(kind, linux):
    plugin = kind({}, Machine(linux=linux, clock=iter([0.0, 10.0]).__next__))
    try:
        plugin.collect()
        data = plugin.collect()
    except Unavailable:
        return
    measured = {
        f"*.{inner}" if isinstance(value, dict) else name
        for name, value in data.items()
        for inner in (value if isinstance(value, dict) else [name])
    }

    assert measured <= {metric.name for metric in kind.metrics}
