from __future__ import annotations

from typing import Any

from hbd.model import Sample
from hbd.web.plugin_view import MAX_CARDS, MAX_LINES, MAX_TEXT, Failure, PluginView, failures, ordered, plugin_view


def view(*data: dict[str, Any]) -> PluginView:
    """Newest first, ten seconds apart."""
    return plugin_view([Sample("p", 1000.0 - 10 * index, entry) for index, entry in enumerate(data)])


def test_number_is_a_card_with_its_range() -> None:
    (card,) = view({"cpu_percent": 20.0}, {"cpu_percent": 5.0}, {"cpu_percent": 40.0}).cards
    assert (str(card.reading), str(card.low), str(card.high)) == ("20.0 %", "5.0 %", "40.0 %")
    assert card.words == "CPU: 5.0 % to 40.0 % in 20 s, now 20.0 %"


def test_first_sample_has_no_range() -> None:
    (card,) = view({"cpu_percent": 20.0}).cards
    assert (card.low, card.curve) == (None, None)


def test_flat_nested_values_are_lines_of_one_table() -> None:
    (table,) = view({"/": {"percent": 50.0, "device": "sda"}, "/boot": {"percent": 10.0}}).tables
    assert [column.label for column in table.columns] == ["Name", "Percent"]
    assert [[cell.text for cell in line] for line in table.lines] == [["/", "50.0 %"], ["/boot", "10.0 %"]]
    assert [line[0].below for line in table.lines] == ["sda", ""]
    assert table.lines[0][1].fill == 50.0


def test_nested_percent_has_a_trend_from_the_second_sample_on() -> None:
    (table,) = view({"/": {"percent": 50.0}}, {"/": {"percent": 40.0}}).tables
    assert table.columns[-1].label == "Percent trend"
    assert table.lines[0][-1].text == "/: 40.0 % to 50.0 %"


def test_list_of_objects_is_a_table_of_its_own() -> None:
    (table,) = view({"top_cpu": [{"name": "nginx", "pid": 7}, {"name": "cron"}]}).tables
    assert (table.title, table.named) == ("Top CPU", False)
    assert [[cell.text for cell in line] for line in table.lines] == [["nginx", "7"], ["cron", "–"]]


def test_texts_booleans_nulls_and_plain_lists_are_facts() -> None:
    facts = view({"os": "Debian", "ok": True, "none": None, "users": ["a", "b"], "empty": [], "map": {}}).facts
    assert [fact.text for fact in facts] == ["Debian", "yes", "–", "a, b", "–", "–"]


def test_moment_is_a_fact_and_no_curve() -> None:
    shown = view({"boot_time": 1795246513, "cpu_time": 12.5}, {"boot_time": 1795246513})
    assert [fact.text for fact in shown.facts] == ["2026-11-21 07:35:13 UTC"]
    assert [card.metric for card in shown.cards] == ["cpu_time"]


def test_deeper_values_are_shown_as_they_are() -> None:
    (table,) = view({"deep": {"a": {"b": {"c": 1}}}}).tables
    assert table.lines[0][1].text == '{"b": {"c": 1}}'


def test_every_number_of_every_sample_is_in_the_table_twin() -> None:
    samples = view({"a": 1, "text": "x"}, {"a": 2, "b": 3}).samples
    assert [column.label for column in samples.columns] == ["Time", "A"]
    assert samples.lines == [(1000.0, ["1"]), (990.0, ["2"])]


def test_metric_that_changes_its_type_does_not_break_the_curve() -> None:
    (card,) = view({"a": 1}, {"a": "text"}, {"a": None}, {"a": float("inf")}, {"a": 3}).cards
    assert (str(card.low), str(card.high)) == ("1", "3")


def test_number_that_is_not_finite_is_shown_as_nothing() -> None:
    (card,) = view({"a": float("nan")}, {"a": float("nan")}).cards
    assert (str(card.reading), card.curve) == ("–", None)


def test_huge_samples_are_cut() -> None:
    shown = view(
        {f"n{index}": index for index in range(1000)}
        | {f"t{index}": "x" * 10_000 for index in range(1000)}
        | {f"d{index}": {"x": 1} for index in range(1000)}
        | {"list": [{"pid": index} for index in range(1000)]}
    )
    assert len(shown.cards) == MAX_CARDS
    assert len(shown.facts) == MAX_LINES
    assert max(len(table.lines) for table in shown.tables) == MAX_LINES
    assert len(shown.facts[0].text) == MAX_TEXT + 1


def test_nothing_is_shown_of_nothing() -> None:
    assert view() == PluginView([], [], [], view().samples)


def test_derived_columns_are_left_out_and_flags_are_told_where_they_are_set() -> None:
    disk = {"percent": 50.0, "total_gb": 2.0, "used_gb": 1.0, "free_gb": 1.0, "read_only": False, "fstype": "ext4"}
    inodes = {"inodes_percent": 1.0, "inodes_total": 100, "inodes_free": 99}
    (table,) = plugin_view([Sample("disk_monitor", 1.0, {"/": disk | inodes, "/mnt": {"hanging": True}})]).tables
    assert [column.label for column in table.columns] == ["Name", "Used", "Total", "Free", "Inodes"]
    assert [line[0].below for line in table.lines] == ["ext4", "does not answer"]


def test_column_from_which_nothing_follows_stays() -> None:
    (table,) = view({"/": {"used_gb": 1.0, "inodes_total": 100}}).tables
    assert [column.label for column in table.columns] == ["Name", "Used", "Inodes total"]


def test_time_that_plugins_took_is_in_one_unit() -> None:
    runs = {"a": {"ok": True, "seconds": 0.000045}, "b": {"ok": True, "seconds": 0.3}}
    (table,) = plugin_view([Sample("agent_monitor", 1.0, runs)]).tables
    assert [column.label for column in table.columns] == ["Name", "OK", "Took"]
    assert [line[2].text for line in table.lines] == ["0.0 ms", "300.0 ms"]


def test_tabs_go_from_the_usual_to_the_agent_itself() -> None:
    names = ["agent_monitor", "backup", "cpu_monitor", "os_info", "zfs", "temperature", "disk_monitor"]
    assert ordered(names) == ["cpu_monitor", "disk_monitor", "temperature", "os_info", "backup", "zfs", "agent_monitor"]


def test_only_plugins_that_fail_and_show_nothing_are_failures() -> None:
    agent = {
        "threads": 3,
        "backup": {"ok": False, "reason": "exit code 3"},
        "shown": {"ok": False, "reason": "late"},
        "temperature": {"ok": True, "reason": "no sensors"},
    }
    assert failures(agent, ["shown"]) == [Failure("backup", "exit code 3")]


def test_watched_processes_are_lines_of_one_table_that_says_since_when_they_run() -> None:
    running = {"count": 2, "cpu_percent": 1.0, "oldest_start_time": 1_750_000_000.0, "oldest_after_boot_seconds": 9.0}
    data = {"nginx": running, "cron": {"count": 0, "cpu_percent": 0.0}}
    (table,) = plugin_view([Sample("watched_processes", 1000.0, data)]).tables
    assert [column.label for column in table.columns] == ["Name", "Running", "CPU", "Oldest started"]
    assert [len(line) for line in table.lines] == [4, 4]
