from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hbc.config import Config, ConfigError, duration, find, load, machine_name

EXAMPLE = Path(__file__).parents[3] / "hbc_example.yaml"
KEY = "0123456789abcdef" * 4


def read(tmp_path: Path, text: str | bytes) -> Config:
    file = tmp_path / "hbc.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(file)


def problems(tmp_path: Path, text: str | bytes) -> list[str]:
    """Without the file's name."""
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text)
    head = f"{tmp_path / 'hbc.yaml'}:"
    assert all(problem.startswith(head) for problem in raised.value.problems)
    return [problem.removeprefix(head) for problem in raised.value.problems]


def test_defaults_need_no_file() -> None:
    config = load(None)
    assert config.servers == ("http://127.0.0.1:50004",)
    assert (config.interval, config.spool.max_bytes, config.spool.max_age) == (10.0, 256 << 20, 604800.0)
    assert config.name == machine_name()


def test_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "# nothing\n").spool == load(None).spool


def test_example_loads_and_is_the_defaults() -> None:
    config, default = load(EXAMPLE), load(None)
    for field in (
        "servers",
        "key",
        "key_file",
        "trust",
        "name",
        "interval",
        "tags",
        "heartbeat",
        "plugin_dirs",
        "spool",
        "allow",
    ):
        assert getattr(config, field) == getattr(default, field), field


def test_example_names_every_key() -> None:
    text = EXAMPLE.read_text()
    keys = [
        "server",
        "key",
        "key_file",
        "ca_file",
        "pin_file",
        "name",
        "interval",
        "tags",
        "heartbeat",
        "port",
        "plugins",
        "enabled",
        "timeout",
    ]
    keys += ["plugin_dirs", "spool", "path", "max_mb", "max_days", "allow", "commands", "programs", "log_units"]
    keys += ["log_paths", "file_roots", "read_roots", "services", "run", "limits", "output_kb", "parallel", "streams"]
    for key in [*keys, "upload_mb", "download_mb"]:
        assert f"{key}:" in text, key


def test_every_value_is_read(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        f"""
server: [https://a.example, "http://[::1]:50004"]
key: {KEY}
name: Web-1
interval: 5m
tags: [web, 010]
heartbeat: {{port: 7000, interval: 30s}}
plugins: {{cpu_monitor: {{interval: 1h}}, temperature: false}}
plugin_dirs: mine
spool: {{path: queue, max_mb: 8, max_days: 0.5}}
allow: {{commands: [shell], programs: /bin/ls, file_roots: [/srv]}}
""",
    )
    assert config.servers == ("https://a.example", "http://[::1]:50004")
    assert (config.key, config.name, config.interval, config.tags) == (KEY, "Web-1", 300.0, ("web", "010"))
    assert (config.heartbeat.port, config.heartbeat.interval) == (7000, 30.0)
    assert config.plugins == {"cpu_monitor": {"interval": "1h"}, "temperature": False}
    assert (config.plugin_dirs, config.spool.path) == ((tmp_path / "mine",), tmp_path / "queue")
    assert (config.spool.max_bytes, config.spool.max_age) == (8 << 20, 43200.0)
    assert (config.allow.commands, config.allow.programs, config.allow.file_roots) == (
        ("shell",),
        ("/bin/ls",),
        ("/srv",),
    )


def test_key_is_not_shown(tmp_path: Path) -> None:
    assert KEY not in repr(read(tmp_path, f"key: {KEY}"))


@pytest.mark.parametrize(
    ("text", "seconds"), [("3", 3.0), (3, 3.0), (0.5, 0.5), ("90s", 90.0), ("5m", 300.0), ("1h", 3600.0)]
)
def test_durations(text: object, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "1w", "-3", "1h30m", True, None, "1e3", [], "nan"])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="no duration"):
        duration(text)


BAD = {
    "serve: http://x": "1: serve: there is no such key; did you mean server?",
    "intervall: 5": "1: intervall: there is no such key; did you mean interval?",
    "heartbeat:\n  prt: 1": "2: heartbeat.prt: there is no such key; did you mean port?",
    "spool:\n  max_gb: 1": "2: spool.max_gb: there is no such key; did you mean max_mb?",
    "allow:\n  exec: true": "2: allow.exec: there is no such key; known here: commands",
    "server: monitor": "1: server: 'monitor' is no address like https://",
    "server: ftp://x": "1: server: 'ftp://x' is no address",
    "server: http://x:99999": "1: server: 'http://x:99999' is no address: Port out of range",
    "server: http://user:pw@x": "1: server: an address has no user",
    "server: []": "1: server: the list is empty",
    "server: http://mon..example:50004": "1: server: 'mon..example' is no host name",
    "server: [http://good.example, http://%s.example]" % ("a" * 70): "1: server: '"
    + "a" * 70
    + ".example' is no host name",
    "server: 22:30": "1: server: '22:30' is no address",
    "key: 1234": "1: key: an agent key is 64 characters of 0-9 and a-f",
    f"key: {KEY}\nkey_file: x": "2: key_file: give either key or key_file",
    "ca_file: a\npin_file: b": "2: pin_file: give either ca_file or pin_file",
    "name: a b": "1: name: 'a b' is no host name",
    "name: 5": '1: name: must be a text, not 5; write "5"',
    "tags: [a, true]": '1: tags: must be a text, not true; write "true"',
    "interval: 0.2": "1: interval: 0.2 s is out of range",
    "interval: 2d": "1: interval: 172800 s is out of range",
    "interval: on": "1: interval: 'on' is no duration",
    "interval: true": "1: interval: true is no duration",
    "tags: {a: 1}": "1: tags: must be a text, not a section",
    "heartbeat: 5": "1: heartbeat: must be a section of `key: value` lines, not 5",
    "heartbeat: {port: 70000}": "1: heartbeat.port: 70000 is no whole number from 0 to 65535",
    "plugins: [cpu_monitor]": "1: plugins: must be a section with one entry a plugin, not a list",
    "spool: {max_mb: 0}": "1: spool.max_mb: 0 is no whole number",
    "spool: {max_mb: 010}": "1: spool.max_mb: '010' is no whole number",
    "spool: {max_days: 1:30}": "1: spool.max_days: '1:30' is no number of days",
    "allow: {programs: ls}": "1: allow.programs: 'ls' must begin with /",
    "name: a\nname: b": "2: name: given a second time (first in line 1)",
    "- a\n- b": "1: must be `key: value` lines",
    "just text": "1: must be `key: value` lines",
    "name: [": "2: not YAML",
    "a: b\n c: d": "2: not YAML: mapping values are not allowed",
    "name: !!python/object:os.system x": "1: name: the tag tag:yaml.org,2002:python/object:os.system means nothing",
    "? [a]\n: b": "1: : a key must be a word",
}


@pytest.mark.parametrize("text", BAD)
def test_problem_names_line_key_and_reason(tmp_path: Path, text: str) -> None:
    found = problems(tmp_path, text)
    assert any(problem.startswith(BAD[text]) for problem in found), found


def test_all_problems_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = problems(tmp_path, "nam: x\ninterval: soon\nspool:\n  max_mb: lots\ntags: 5\n")
    assert [problem.partition(":")[0] for problem in found] == ["1", "2", "4", "5"]


def test_a_wrong_key_is_not_repeated(tmp_path: Path) -> None:
    assert "secret" not in str(problems(tmp_path, "key: secret"))


def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    assert problems(tmp_path, b"name: a\ntags: \xff\n") == ["2: not UTF-8 text"]


def test_alias_bomb_is_refused(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert problems(tmp_path, "\n".join(levels)) == ["1: too large or too deeply nested"]


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    assert len(problems(tmp_path, "tags: " + "[" * 900 + "]" * 900)) == 1


def test_huge_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "hbc.yaml"
    file.write_bytes(b"#" * (2 << 20))
    with pytest.raises(ConfigError, match="that is no configuration"):
        load(file)


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.yaml")


def test_pure_python_yaml_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "CSafeLoader", yaml.SafeLoader)
    assert read(tmp_path, "tags: [yes, 1, 22:30]\nname: no\n".replace(" 1,", "")).tags == ("yes", "22:30")


def test_plugin_problem_is_located(tmp_path: Path) -> None:
    config = read(tmp_path, "plugins:\n  cpu_monitor:\n    intervall: 5\n")
    assert config.locate("plugins.cpu_monitor.intervall: unknown").endswith(
        "hbc.yaml:3: plugins.cpu_monitor.intervall: unknown"
    )
    assert config.locate("plugins.other: unknown").endswith("hbc.yaml:1: plugins.other: unknown")


def test_plugin_folder_is_located_as_an_item_or_alone(tmp_path: Path) -> None:
    listed = read(tmp_path, "name: a\nplugin_dirs:\n  - x\n  - y\n")
    assert listed.line("plugin_dirs[1]: /y: reason") == 4
    assert read(tmp_path, "name: a\nplugin_dirs: x\n").line("plugin_dirs[0]: /x: reason") == 2


def test_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "home")}
    assert find(None, environment) in (None, Path("/etc/hbc/config.yaml"))
    user = tmp_path / "home" / "hbc" / "config.yaml"
    user.parent.mkdir(parents=True)
    user.write_text("")
    assert find(None, environment) == user
    Path("hbc.yaml").write_text("")
    assert find(None, environment) == Path("hbc.yaml")
    assert find(None, environment | {"HBC_CONFIG": "/a"}) == Path("/a")
    assert find("/b", environment | {"HBC_CONFIG": "/a"}) == Path("/b")
