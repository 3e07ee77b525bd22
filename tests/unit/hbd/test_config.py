"""What a good file means."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hbd.config import (
    Config,
    HostConfig,
    Limits,
    Secret,
    changes,
    find,
    host_settings,
    load,
    restart_needed,
    watched,
)
from hbd.config.structs import Log, Threshold, User, default_database

Read = Callable[[str], Config]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Loads a file with that text."""

    def load_text(text: str) -> Config:
        path = tmp_path / "hbd.yaml"
        path.write_text(text)
        path.chmod(0o600)
        return load(path)

    return load_text


# ---------------------------------------------------------------------------------------------------------- values


def test_no_file_means_the_defaults() -> None:
    assert load(None) == Config()


def test_config_knows_its_file(read: Read, tmp_path: Path) -> None:
    assert read("grace: 2\n").source == tmp_path / "hbd.yaml"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30", 30.0), ("1.5", 1.5), ("1e3", 1000.0), ("90s", 90.0), ("5m", 300.0), ("1.5h", 5400.0), ("1d", 86400.0)],
)
def test_duration_is_read_in_seconds(written: str, seconds: float, read: Read) -> None:
    assert read(f"interval: {written}\n").interval == seconds


@pytest.mark.parametrize(
    ("written", "size"),
    [("4096", 4096), ("512 KiB", 524288), ("2MiB", 2097152), ("64 kB", 64000), ("1 MB", 1000000), ("1e6", 1000000)],
)
def test_size_is_read_in_bytes(written: str, size: int, read: Read) -> None:
    assert read(f"limits: {{max_frame_bytes: {written}}}\n").limits.max_frame_bytes == size


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "fe80::1%eth0", "hb.example.org", "localhost", ""])
def test_bind_address_is_taken(address: str, read: Read) -> None:
    assert read(f'hbd_host: "{address}"\n').hbd_host == address


def test_key_without_a_value_counts_as_not_given(read: Read) -> None:
    assert changes(Config(), read("hbd_host:\nwatchhosts:\nhosts:\nlimits:\n  max_hosts: ~\n")) == []


def test_host_without_settings_is_known(read: Read) -> None:
    assert read("hosts:\n  web1:\n").hosts == {"web1": HostConfig()}


def test_base_url_loses_the_slash_at_its_end(read: Read) -> None:
    assert read("base_url: https://hb.example.org/hb/\n").base_url == "https://hb.example.org/hb"


def test_threshold_config_is_a_name_or_a_list(read: Read) -> None:
    text = "threshold_configs: {x: }\nhosts:\n  a: {threshold_config: x}\n  b: {threshold_config: [default, x]}\n"
    hosts = read(text).hosts
    assert (hosts["a"].threshold_config, hosts["b"].threshold_config) == (("x",), ("default", "x"))


def test_nested_thresholds_are_found_by_their_path(read: Read) -> None:
    text = 'threshold_configs: {big: {disk_monitor: {"*": {percent: {warning: 80, for: 5m, operator: ">="}}}}}\n'
    threshold = Threshold(warning=80.0, operator=">=", hold=300.0)
    assert read(text).threshold_configs == {"big": {("disk_monitor", "*", "percent"): threshold}}


def test_aliases_stand_for_what_they_name(read: Read) -> None:
    hosts = read("hosts:\n  a: &it {tags: [x]}\n  b: *it\n").hosts
    assert hosts["b"].tags == ("x",)


# ------------------------------------------------------------------------------------------------------- YAML traps


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "NO", "y", "010", "1:30", "22:22", "2024-01-31", "0x1F"])
def test_word_that_yaml_would_change_stays_text(word: str, read: Read) -> None:
    assert read(f"default_owner: {word}\nhosts: {{a: {{tags: [{word}]}}}}\n").default_owner == word


@pytest.mark.parametrize("name", ["no", "010", "1.10", "22:22", "true"])
def test_host_name_is_taken_as_written(name: str, read: Read) -> None:
    assert list(read(f"hosts:\n  {name}: {{watch: true}}\n").hosts) == [name]


def test_channel_settings_keep_what_yaml_would_change(read: Read) -> None:
    text = "notification_channels: {ops: {type: email, at: 22:22, pin: 0123, on: no, token: 83e7, version: 1.10}}\n"
    expected = {"type": "email", "at": "22:22", "pin": "0123", "on": "no", "token": "83e7", "version": "1.10"}
    assert read(text).notification_channels == {"ops": expected}


def test_channel_settings_hold_values_and_not_their_texts(read: Read) -> None:
    settings = read("notification_channels: {ops: {type: email, tls: true, port: 25, wait: 1.5, to: [a, ~]}}\n")
    expected = {"type": "email", "tls": True, "port": 25, "wait": 1.5, "to": ["a", None]}
    assert settings.notification_channels == {"ops": expected}


def test_any_number_of_ports_may_be_free_ones(read: Read) -> None:
    assert read("hbd_port: 0\nhb_port: 0\nws_port: 0\n").ws_port == 0


def test_heartbeats_may_share_a_number_with_a_tcp_port(read: Read) -> None:
    assert read("hb_port: 50004\n").hb_port == 50004


def test_byte_order_mark_is_no_part_of_the_first_key(read: Read) -> None:
    assert read("\ufeffgrace: 2\n").grace == 2.0


# ----------------------------------------------------------------------------------------------------------- places


def test_relative_path_starts_in_the_folder_of_the_file(read: Read, tmp_path: Path) -> None:
    assert read("database: data/hb.db\n").database == tmp_path / "data" / "hb.db"


def test_tilde_is_the_home_directory(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    assert read("database: ~/hb.db\n").database == Path("/home/alice/hb.db")


def test_systemd_state_directory_holds_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/hbd:/var/lib/other")
    assert default_database() == Path("/var/lib/hbd/hbd.db")


def test_xdg_state_directory_holds_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_database() == Path("/state/hbd/hbd.db")


@pytest.mark.parametrize("state_home", [None, "", "relative"])
def test_home_holds_the_database_else(state_home: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    if state_home is not None:
        monkeypatch.setenv("XDG_STATE_HOME", state_home)
    monkeypatch.setenv("HOME", "/home/alice")
    assert default_database() == Path("/home/alice/.local/state/hbd/hbd.db")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and an empty working directory."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HBD_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def test_file_of_the_command_line_comes_first(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HBD_CONFIG", "/named.yaml")
    assert find(Path("mine.yaml")) == Path("mine.yaml")


def test_file_of_the_environment_comes_second_even_when_missing(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("hbd.yaml").touch()
    monkeypatch.setenv("HBD_CONFIG", "/named.yaml")
    assert find() == Path("/named.yaml")


def test_file_of_the_working_directory_comes_before_that_of_the_home(places: Path) -> None:
    in_home = places / "home" / ".config" / "hbd" / "config.yaml"
    in_home.parent.mkdir(parents=True)
    in_home.touch()
    assert find() == in_home
    Path("hbd.yaml").touch()
    assert find() == Path("hbd.yaml")


def test_file_of_the_system_comes_last(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = Path("/etc/hbd/config.yaml")
    stat = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **how: places.stat() if path == system else stat(path, **how))
    assert find() == system


def test_file_that_may_not_be_looked_at_is_not_passed_over(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    assert find() == Path("hbd.yaml")


# ------------------------------------------------------------------------------------------------------------ hosts


def test_all_hosts_are_watched_when_the_file_says_nothing() -> None:
    assert watched(Config(), "any")


def test_watchhosts_alone_are_watched() -> None:
    config = Config(watchhosts=("Web1",))
    assert (watched(config, "web1"), watched(config, "WEB1"), watched(config, "web2")) == (True, True, False)


def test_empty_watchhosts_watch_no_host() -> None:
    assert not watched(Config(watchhosts=()), "web1")


def test_hosts_with_watch_are_watched_beside_watchhosts() -> None:
    config = Config(watchhosts=("a",), hosts={"B": HostConfig(watch=True), "c": HostConfig()})
    assert [watched(config, name) for name in ("a", "b", "c")] == [True, True, False]


def test_watch_false_is_a_watch_key_and_ends_the_watching_of_all() -> None:
    assert not watched(Config(hosts={"a": HostConfig(watch=False)}), "b")


def test_host_settings_are_found_in_any_case() -> None:
    config = Config(hosts={"Web1": HostConfig(tags=("x",), interval=30.0)})
    assert host_settings(config, "wEB1").tags == ("x",)


def test_host_without_a_section_has_the_defaults() -> None:
    settings = host_settings(Config(default_owner="alice"), "web1")
    assert (settings.owner, settings.interval, settings.enabled, settings.managers) == ("alice", None, True, ())


def test_owner_of_the_section_goes_before_the_default_owner() -> None:
    config = Config(default_owner="alice", hosts={"a": HostConfig(owner="bob")})
    assert host_settings(config, "a").owner == "bob"


def test_dyndnshosts_and_dyn_mean_the_same() -> None:
    config = Config(dyndnshosts=("Home",), hosts={"b": HostConfig(dyn=True)})
    assert [host_settings(config, name).dyn for name in ("home", "B", "c")] == [True, True, False]


def test_drophosts_match_whole_names_in_any_case() -> None:
    config = Config(drophosts=("old", "Test-*"))
    dropped_names = [name for name in ("OLD", "old2", "test-7", "a-test-7") if config.is_dropped(name)]
    assert dropped_names == ["OLD", "test-7"]


def test_no_host_is_dropped_without_drophosts() -> None:
    assert not Config().is_dropped("web1")


def test_enrollment_is_open_without_users_and_by_key_with_them() -> None:
    assert (Config().enrollment(False), Config().enrollment(True)) == ("open", "key")


def test_enrollment_of_the_file_counts(read: Read) -> None:
    assert read("agents: {enrollment: closed}\n").enrollment(False) == "closed"


# ---------------------------------------------------------------------------------------------------------- secrets


def test_secret_prints_as_dots() -> None:
    assert f"{Secret('x')} {Secret('x')!r} {User(password=Secret('x'))}".count("•••") == 3


def test_secret_gives_its_text_when_asked() -> None:
    assert Secret("hunter2").reveal() == "hunter2"


def test_channel_settings_do_not_print_what_they_hold(read: Read) -> None:
    config = read("notification_channels: {ops: {type: email, token: hunter2}}\n")
    assert "hunter2" not in f"{config} {config!r}"


# --------------------------------------------------------------------------------------------------------- warnings


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "hosts: {a: {watch: false}}",
            "hosts.a.watch: false turns off watching every host; name those to watch in watchhosts",
        ),
        (
            "{watchhosts: [A], hosts: {a: {watch: false}}}",
            "hosts.a.watch: false, but watchhosts lists the host, so it is watched",
        ),
        (
            "remote_write: {prom: {url: http://prom:9090, bearer_token: abc}}",
            "remote_write.prom.url: not https, so others on the way can read the password or token",
        ),
    ],
)
def test_what_has_no_effect_is_told(text: str, warning: str, read: Read) -> None:
    assert read(text + "\n").warnings == (warning,)


def test_key_at_its_default_is_no_reason_to_warn(read: Read) -> None:
    assert read("hbd_tls: false\nusers: {}\nplans: {}\ncors: {origins: []}\n").warnings == ()


@pytest.mark.parametrize(("mode", "count"), [(0o600, 0), (0o640, 0), (0o644, 1)])
def test_secrets_that_everybody_can_read_are_told(mode: int, count: int, tmp_path: Path) -> None:
    path = tmp_path / "hbd.yaml"
    path.write_text("notification_channels: {ops: {type: email}}\n")
    path.chmod(mode)
    assert len([warning for warning in load(path).warnings if "chmod 600" in warning]) == count


def test_file_without_secrets_may_be_read_by_everybody(tmp_path: Path) -> None:
    path = tmp_path / "hbd.yaml"
    path.write_text("grace: 2\n")
    path.chmod(0o644)
    assert load(path).warnings == ()


# ---------------------------------------------------------------------------------------------------------- changes


def test_equal_configurations_have_no_changes(read: Read) -> None:
    text = "hosts: {a: {tags: [x]}}\nnotification_channels: {ops: {type: email}}\n"
    assert changes(read(text), read(text)) == []


def test_changes_are_named_down_to_the_key() -> None:
    new = Config(grace=5.0, limits=Limits(max_hosts=1), log=Log(level="debug"))
    assert changes(Config(), new) == ["limits.max_hosts", "log.level", "grace"]


def test_changed_hosts_are_named_whether_new_gone_or_other() -> None:
    old = Config(hosts={"a": HostConfig(), "b": HostConfig(), "same": HostConfig()})
    new = Config(hosts={"b": HostConfig(dyn=True), "c": HostConfig(), "same": HostConfig()})
    assert changes(old, new) == ["hosts.a", "hosts.b", "hosts.c"]


def test_listeners_and_database_need_a_restart() -> None:
    new = Config(hbd_host="", ws_port=0, database=Path("/x.db"), grace=9.0)
    assert restart_needed(Config(), new) == ["hbd_host", "ws_port", "database"]


def test_lists_of_one_name_need_no_brackets(read: Read) -> None:
    text = "notification_routes: {all: {channels: ops, hosts: web*, tags: prod, metrics: disk.*}}\n"
    config = read(text + "hosts: {web1: {notification_channels: ops}}\n")
    route = config.notification_routes["all"]
    assert (route.channels, route.hosts, route.tags, route.metrics) == (("ops",), ("web*",), ("prod",), ("disk.*",))
    assert config.hosts["web1"].notification_channels == ("ops",)
