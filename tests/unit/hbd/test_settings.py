"""Settings go out as YAML and come in again, over a real database."""

from __future__ import annotations

import difflib
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from settings_kit import HASH, PING_ID, Settings, database, fill

from hbd.config import Config, HostConfig
from hbd.config.structs import User as ConfigUser

WITH_ROOT = "version: 1\nusers: {root: {role: admin}}\n"


@pytest.fixture
async def full(tmp_path: Path) -> AsyncIterator[Settings]:
    """A database with something of every kind."""
    async with database(tmp_path / "full.db") as made:
        await fill(made.store)
        yield made


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[Settings]:
    async with database(tmp_path / "empty.db") as made:
        yield made


@pytest.fixture
async def with_file(tmp_path: Path) -> AsyncIterator[Settings]:
    """alice is admin by the config file, which also says who owns web1."""
    config = Config(users={"alice": ConfigUser(admin=True)}, hosts={"web1": HostConfig(owner="alice")})
    async with database(tmp_path / "file.db", config) as made:
        yield made


def difference(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]


def rows(path: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


# --------------------------------------------------------------------------------------------------------- round trip


async def test_an_export_brought_into_an_empty_database_is_exported_as_the_same_bytes(
    full: Settings, empty: Settings
) -> None:
    text = await full.export()
    result = await empty.take(text)
    assert [line[0] for line in result["changes"] if line[0] != " "] == ["+"] * 16
    assert await empty.export() == text


async def test_without_secrets_nothing_but_the_secrets_is_missing_after_it(full: Settings, empty: Settings) -> None:
    text = await full.export(secrets=False)
    await empty.take(text)
    lost = difference(text, await empty.export(secrets=False))
    assert lost and all(line.startswith("-") and "•••" in line for line in lost)


async def test_two_exports_of_the_same_are_the_same_bytes(full: Settings) -> None:
    assert await full.export() == await full.export()


@pytest.mark.parametrize("secrets", [True, False])
@pytest.mark.parametrize("removes", [True, False])
async def test_bringing_in_what_is_there_changes_nothing(full: Settings, secrets: bool, removes: bool) -> None:
    before = await full.export()
    result = await full.take(await full.export(secrets=secrets), removes=removes)
    assert (result["changes"], result["same"], result["left"]) == ([], 16, 0)
    assert await full.export() == before


async def test_a_second_import_changes_nothing(full: Settings, empty: Settings) -> None:
    text = await full.export(secrets=False)
    await empty.take(text)
    assert (await empty.take(text))["changes"] == []


async def test_a_change_is_one_line_of_the_diff_between_two_exports(full: Settings) -> None:
    before = await full.export()
    await full.take(before.replace('label: "Web: front"', "label: Shop"))
    assert difference(before, await full.export()) == ['-    label: "Web: front"', "+    label: Shop"]


# ------------------------------------------------------------------------------------------------------------- secrets


async def test_no_secret_is_in_an_export_unless_they_are_asked_for(full: Settings) -> None:
    text = await full.export(secrets=False)
    assert [word for word in ("c4n4ry", HASH, PING_ID[:-1], "TOTP") if word in text] == []
    assert "TOTP" not in await full.export()


async def test_who_took_the_secrets_is_in_the_audit_log(full: Settings) -> None:
    await full.export(secrets=False)
    await full.export()
    newest, before = await full.store.audit.recent(2)
    assert (newest.action, newest.detail, before.action) == ("settings.export", "with all secrets; by pat", "made")


async def test_no_secret_is_in_the_answer_or_the_audit_log_of_an_import(full: Settings, empty: Settings) -> None:
    result = await empty.take(await full.export())
    told = f"{result} {await empty.store.audit.recent(100)}"
    assert [word for word in ("c4n4ry", HASH, PING_ID[:-1]) if word in told] == []


async def test_what_a_channel_of_another_type_had_before_is_not_told(full: Settings) -> None:
    result = await full.take('version: 1\nnotification_channels: {mail: {type: webhook, url: "https://a.example"}}')
    assert "    password: ••• -> (none)" in result["changes"]
    assert "c4n4ry" not in f"{result} {await full.store.audit.recent(100)}"


async def test_what_the_file_hides_stays_as_it_is_here(full: Settings) -> None:
    before = await full.export()
    await full.take((await full.export(secrets=False)).replace("port: 587", "port: 465"))
    assert difference(before, await full.export()) == ["-    port: 587", "+    port: 465"]


async def test_a_channel_whose_secret_nobody_knows_is_made_and_sends_nothing(full: Settings, empty: Settings) -> None:
    result = await empty.take(await full.export(secrets=False))
    assert (
        "mail (password), ops (body, headers, secret, url): secrets that the file does not have" in result["notes"][-1]
    )
    stored = await empty.store.channels.all()
    assert b"password: left out of the file that was imported; give it anew" in stored["mail"]


async def test_a_secret_that_is_filled_in_makes_the_channel_whole(full: Settings, empty: Settings) -> None:
    text = await full.export(secrets=False)
    await empty.take(text)
    await empty.take(text.replace('password: "•••"', "password: hunter2"))
    assert b'"flaw":""' in (await empty.store.channels.all())["mail"]


async def test_a_user_keeps_the_password_that_the_file_leaves_out(full: Settings) -> None:
    await full.take("version: 1\nusers: {root: {role: admin, full_name: Root}}")
    (root, *_) = await full.store.accounts.users()
    assert (root.full_name, root.password, root.totp) == ("Root", HASH, "TOTPc4n4ry")


# ------------------------------------------------------------------------------------------------ adding and removing


async def test_what_the_file_does_not_name_stays(full: Settings) -> None:
    before = await full.export()
    result = await full.take("version: 1\nusers: {eve: {}}\nmaintenance: []\n")
    assert (result["same"], result["left"]) == (0, 4)
    assert difference(before, await full.export()) == ["+  eve: {}"]


async def test_replacing_removes_what_the_file_does_not_name_in_sections_that_it_has(full: Settings) -> None:
    before = await full.export()
    result = await full.take("version: 1\nsilences: []\nmaintenance: []\nhosts: {web1: {}}\n", removes=True)
    marks = [line for line in result["changes"] if line[0] == "-"]
    assert marks == [
        "- watched process nginx of web1",
        "- watched process 1e3 of web1",
        "- maintenance window patch day",
        "- silence disk",
        "- silence disk",
    ]
    after = await full.export()
    assert "maintenance: []" in after and "silences: []" in after and "Db1:" in after
    assert before.partition("hosts:")[0] == after.partition("hosts:")[0]


async def test_no_host_is_ever_removed(full: Settings) -> None:
    result = await full.take("version: 1\nhosts: {}\n", removes=True)
    assert (result["changes"], result["left"]) == ([], 2)


async def test_who_is_removed_loses_the_rights_on_hosts(full: Settings) -> None:
    result = await full.take(WITH_ROOT, removes=True)
    assert [line for line in result["changes"] if line[0] == "-"] == ["- user bob", "- user yes"]
    text = await full.export()
    assert "owner: bob" not in text.partition("notification_channels")[0] and "monitors: [root]" in text


async def test_a_channel_that_is_removed_is_in_nobodys_list(full: Settings) -> None:
    await full.take("version: 1\nnotification_channels: {}\n", removes=True)
    assert [user.channels for user in await full.store.accounts.users()] == [[], [], []]


async def test_who_the_file_says_has_a_channel_that_is_removed_has_it_and_that_is_told(full: Settings) -> None:
    text = "version: 1\nusers: {root: {role: admin}, eve: {notification_channels: ops}}\nnotification_channels: {}\n"
    result = await full.take(text, removes=True)
    assert "ops: no such channel is there or in the file, though it is named" in result["notes"]
    assert (await full.take(text, removes=True))["changes"] == []


async def test_a_dry_run_says_the_same_and_changes_nothing(full: Settings, empty: Settings) -> None:
    text, before = await full.export(), await empty.export()
    tried = await empty.take(text, dry_run=True)
    assert await empty.export() == before
    assert tried == await empty.take(text)


async def test_the_answer_shows_what_was_and_what_is(full: Settings) -> None:
    result = await full.take("version: 1\nusers: {bob: {source: oidc, subject: sub-1, role: operator}}")
    assert result["changes"] == [
        "~ user bob",
        "    role: viewer -> operator",
        '    full_name: Bob "B" -> (none)',
        "    notification_channels: ops -> (none)",
    ]


async def test_what_still_has_to_be_done_is_told(empty: Settings) -> None:
    result = await empty.take("version: 1\nusers: {root: {role: admin}}\nhosts: {web1: {}, db1: {}}")
    assert result["notes"] == [
        "root: no password yet, and cannot sign in: hbd passwd NAME",
        "there were no users: from now on everybody has to sign in",
        "web1, db1: no key yet, so no agent can report: hbd agent add NAME prints one",
    ]


async def test_nobody_is_told_of_signing_in_where_there_were_users(full: Settings) -> None:
    result = await full.take("version: 1\nusers: {newcomer: {role: viewer}}")
    assert result["notes"] == ["newcomer: no password yet, and cannot sign in: hbd passwd NAME"]


async def test_a_silence_that_is_over_is_left_out(empty: Settings) -> None:
    about = 'reason: x, hosts: ["*"], starts: "2026-01-01T00:00:00Z", ends: "2026-01-02T00:00:00Z"'
    result = await empty.take(f"version: 1\nsilences: [{{{about}}}]")
    assert result["notes"] == ["1 of the silences is over by now, and left out"]


async def test_names_that_are_named_and_not_there_are_told(empty: Settings) -> None:
    result = await empty.take("version: 1\nnotification_routes: [{name: x, channels: [ops]}]")
    assert result["notes"] == ["ops: no such channel is there or in the file, though it is named"]


# ------------------------------------------------------------------------------------------------------- what it means


async def test_a_user_who_is_disabled_is_signed_out(full: Settings) -> None:
    token = ("INSERT INTO sessions VALUES (9, 1, x'01', 1, 9e12, 1, '', '', 'password')",)
    await full.store.database.write(lambda db: db.execute(*token))
    await full.take("version: 1\nusers: {root: {role: admin, enabled: false}, bob: {role: admin}}")
    assert await full.store.accounts.sessions() == []


async def test_each_change_is_in_the_audit_log(full: Settings) -> None:
    await full.take("version: 1\nusers: {eve: {role: operator}}\nhosts: {db1: {owner: eve, label: DB, enabled: true}}")
    entries = await full.store.audit.recent(4)
    assert [(entry.action, entry.object, entry.detail) for entry in entries] == [
        ("settings.import", "", "1 added, 1 changed, 0 removed; imported from x.yaml by pat"),
        ("host.access", "host Db1", "imported from x.yaml by pat; owner: (none) -> eve"),
        ("agent.change", "host Db1", "imported from x.yaml by pat; label: (none) -> DB"),
        ("user.create", "user eve", "imported from x.yaml by pat; role: operator"),
    ]


async def test_a_host_is_known_in_any_case_and_keeps_its_name(full: Settings) -> None:
    await full.take("version: 1\nhosts: {DB1: {label: x}, WEB1: {owner: ROOT}}")
    text = await full.export()
    assert "  Db1:\n    label: x" in text and "owner: root" in text


async def test_jobs_that_are_there_keep_their_address_and_new_ones_get_one(full: Settings) -> None:
    before = {job.name: job.token for job in await full.store.jobs.all()}
    await full.take("version: 1\nhosts: {db1: {jobs: {backup: {period: 1d}, new: {period: 2d}}}}")
    after = {job.name: job.token for job in await full.store.jobs.all()}
    assert after.items() >= before.items() and len(after["new"]) == 36


async def test_what_was_changed_of_a_user_of_the_config_comes_and_goes(with_file: Settings) -> None:
    text = f'version: 1\nconfig_users: {{alice: {{full_name: Alice, password: "{HASH}"}}}}'
    await with_file.take(text)
    exported = await with_file.export()
    assert "config_users:\n  alice:\n    full_name: Alice\n    password:" in exported
    assert (await with_file.take(exported))["changes"] == []
    await with_file.take("version: 1\nconfig_users: {}", removes=True)
    assert "config_users: {}" in await with_file.export()


async def test_what_the_config_file_says_too_is_told(with_file: Settings) -> None:
    result = await with_file.take("version: 1\nusers: {bob: {}}\nhosts: {web1: {owner: bob}}")
    assert result["notes"][-1] == "web1: settings in the config file too: at the next reload it is as that says"


async def test_two_routes_of_one_name_are_told_apart_by_what_they_say(full: Settings) -> None:
    first, second = [route.id for route in await full.store.routes.all()]
    text = (await full.export()).replace("after: 15m", "after: 20m")
    result = await full.take(text, removes=True)
    assert result["changes"] == ["~ notification route night", "    after: 15m -> 20m"]
    assert [(route.id, route.after) for route in await full.store.routes.all()] == [(first, 0.0), (second, 1200.0)]


async def test_the_first_users_who_come_have_no_rights_that_names_had_before(empty: Settings) -> None:
    await empty.take("version: 1\nhosts: {web1: {owner: somebody}}")
    await empty.take(WITH_ROOT)
    assert "somebody" not in await empty.export()


async def test_a_password_that_changes_ends_sessions_and_tokens(full: Settings) -> None:
    for sql in (
        "INSERT INTO sessions VALUES (9, 1, x'01', 1, 9e12, 1, '', '', 'password')",
        "INSERT INTO api_tokens VALUES (9, 1, x'02', 'x', 'hbt_', 'read', NULL, 1, NULL, NULL, NULL)",
    ):
        await full.store.database.write(lambda db, sql=sql: db.execute(sql))
    other = HASH[:-1] + ("a" if HASH[-1] != "a" else "b")
    await full.take(f'version: 1\nusers: {{root: {{role: admin, password: "{other}"}}}}')
    assert (await full.store.accounts.sessions(), await full.store.accounts.tokens()) == ([], [])


async def test_a_failure_in_the_middle_leaves_everything_as_it_was(
    full: Settings, empty: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the last step fails")

    text, before = await full.export(), await empty.export()
    monkeypatch.setattr("hbd.store.jobs.JobTables.add", broken)
    with pytest.raises(RuntimeError):
        await empty.take(text)
    assert await empty.export() == before
    assert not await empty.store.accounts.flag("setup_done")


async def test_the_files_in_the_docs_can_be_imported(empty: Settings) -> None:
    docs = (Path(__file__).parents[3] / "docs" / "settings.md").read_text("utf-8")
    files = re.findall(r"```yaml\n(.*?)```", docs, re.DOTALL)
    assert len(files) == 2
    for text in files:
        await empty.take(text)
