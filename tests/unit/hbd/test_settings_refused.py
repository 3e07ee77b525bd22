"""A settings file that cannot be brought in: each problem is told with its line, and nothing is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from settings_kit import PING_ID, Settings, database, fill

from hbd.config import Config, Limits
from hbd.config.structs import Plan
from hbd.config.structs import User as ConfigUser
from hbd.settings.register import Running, SettingsRegister

ALL = '"*"'
TIMES = 'starts: "2026-11-21T00:00:00Z", ends: "2026-11-22T00:00:00Z"'
CONFIG = Config(users={"alice": ConfigUser()}, limits=Limits(max_hosts=3), plans={"small": Plan(limit=2)})


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Settings]:
    """alice is a user of the config file; bob, root and yes are users that were made here."""
    async with database(tmp_path / "hbd.db", CONFIG) as made:
        await fill(made.store)
        yield made


async def refused(here: Settings, text: str, *, removes: bool = False) -> list[str]:
    """The problems, after it was seen that nothing has changed."""
    before = await here.export(), len(await here.store.audit.recent(1000))
    problems = await here.problems(text, removes=removes)
    assert (await here.export(), len(await here.store.audit.recent(1000)) - 1) == before
    return problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "x.yaml:1: file: it is empty"),
        ("- a", 'x.yaml:1: file: expected a mapping (lines of "key: value"), found a list'),
        ("users: {a: [}", "x.yaml:1: yaml: did not find expected node content, while parsing a flow node"),
        ("users: {}", "x.yaml:1: version: it is needed; this hbd reads version 1"),
        ("version: 2", "x.yaml:1: version: this is 2; this hbd reads version 1"),
        ("version: 1\nuser: {}", "x.yaml:2: user: unknown key; did you mean users?"),
        ("version: 1\nusers: {eve: {rolle: admin}}", "x.yaml:2: users.eve.rolle: unknown key; did you mean role?"),
        (
            "version: 1\nusers: {eve: {role: boss}}",
            'x.yaml:2: users.eve.role: expected one of admin, operator, viewer, found "boss"',
        ),
        (
            "version: 1\nusers: {eve: {enabled: yes}}",
            'x.yaml:2: users.eve.enabled: expected true or false, found "yes"; write true',
        ),
        ("version: 1\nusers: {eve: {}, EVE: {}}", "x.yaml:2: users.EVE: given twice, first on line 2"),
        (
            "version: 1\nusers: {e/ve: {}}",
            "x.yaml:2: users.e/ve: expected a user name (1-64 letters, digits, . _ - @ +, and not the word me), found"
            ' "e/ve"',
        ),
        (
            "version: 1\nusers: {eve: {password: secret}}",
            "x.yaml:2: users.eve.password: expected a bcrypt hash, found something else; a hash begins with $2b$"
            " and has 60 characters; make one with: hbd passwd",
        ),
        (
            "version: 1\nusers: {alice: {}}",
            "x.yaml:2: users.alice: the config file has a user of that name; what is changed of it stands in"
            " config_users",
        ),
        (
            "version: 1\nconfig_users: {bob: {role: admin}}",
            "x.yaml:2: config_users.bob: the config file has no user of that name",
        ),
        (
            "version: 1\nusers: {eve: {source: oidc, subject: sub-1}}",
            "x.yaml:2: users.eve.subject: user bob has the same",
        ),
        ("version: 1\nusers: {root: {}}", "x.yaml:2: users: nobody would be admin any more"),
        ("version: 1\nhosts: {web1: {owner: eve}}", "x.yaml:2: hosts.web1.owner: there is no user eve"),
        (
            "version: 1\nhosts:\n  web1:\n    managers: [bob, eve]",
            "x.yaml:4: hosts.web1.managers[1]: there is no user eve",
        ),
        ("version: 1\nhosts: {a: {}, b: {}}", "x.yaml:2: hosts: there may be 3 hosts, and these are 4"),
        (
            f"version: 1\nhosts: {{web1: {{label: {'x' * 201}}}}}",
            f'x.yaml:2: hosts.web1.label: expected text, found "{"x" * 200}…"; the most is 200 characters',
        ),
        (
            "version: 1\nhosts: {web1: {min_report_interval: often}}",
            "x.yaml:2: hosts.web1.min_report_interval: expected a duration such as 10, 90s, 5m, 48h or 90d, found"
            ' "often"',
        ),
        (
            "version: 1\nhosts: {web1: {processes: {a: {cpu_threshold_pct: 200}}}}",
            "x.yaml:2: hosts.web1.processes.a.cpu_threshold_pct: expected a number 0.01-100, found 200;"
            " the most is 100",
        ),
        (
            "version: 1\nhosts: {web1: {processes: {a: {}}}}",
            "x.yaml:2: hosts.web1.processes: there may be 2 on a host, and these are 3",
        ),
        (
            "version: 1\nhosts: {db1: {processes: {a: {author: eve}}}}",
            "x.yaml:2: hosts.db1.processes.a.author: there is no user eve",
        ),
        (
            "version: 1\nhosts: {db1: {jobs: {a: {}}}}",
            "x.yaml:2: hosts.db1.jobs.a.period: either period or cron is needed",
        ),
        (
            "version: 1\nhosts: {db1: {jobs: {a: {period: 1d, ping_id: x}}}}",
            "x.yaml:2: hosts.db1.jobs.a.ping_id: expected 36 characters such as 1b4e28ba-2fa1-11d2-883f-0016d3cca427",
        ),
        (
            f"version: 1\nhosts: {{web1: {{jobs: {{a: {{period: 1d, ping_id: {PING_ID[:-1]}0}}}}}}}}",
            "x.yaml:2: hosts.web1.jobs.a.ping_id: another job has it",
        ),
        (
            "version: 1\nnotification_channels: {new: {type: webhok}}",
            "x.yaml:2: notification_channels.new.type: there is no channel type webhok; did you mean webhook?",
        ),
        (
            "version: 1\nnotification_channels: {new: {type: script, program: x}}",
            "x.yaml:2: notification_channels.new.type: channels that run programs are made in the config file alone",
        ),
        (
            "version: 1\nnotification_channels: {new: {type: webhook, uri: x}}",
            "x.yaml:2: notification_channels.new.uri: unknown key; Webhook has no such setting",
        ),
        (
            "version: 1\nnotification_channels: {new: {type: webhook, url: x, owner: eve}}",
            "x.yaml:2: notification_channels.new.owner: there is no user eve",
        ),
        (
            'version: 1\nnotification_channels: {ops: {type: webhook, url: "https://other.example.org/•••"}}',
            "x.yaml:2: notification_channels.ops.url: holds •••; write it whole, or as hbd export has it",
        ),
        (
            "version: 1\nnotification_channels: {new: {type: webhook, url: x}, New: {type: webhook, url: x}}",
            "x.yaml:2: notification_channels.New: given twice; names that differ in case alone are the same",
        ),
        (
            "version: 1\nnotification_routes: [{name: x, channels: [ops]}, {name: y}]",
            "x.yaml:2: notification_routes[1].channels: is needed",
        ),
        (
            f"version: 1\nmaintenance: [{{name: x, hosts: {ALL}, start: tomorrow, duration: 2h}}]",
            "x.yaml:2: maintenance[0].start: expected a day and a time of it such as 2026-11-21T22:00",
        ),
        (
            'version: 1\nmaintenance: [{name: x, start: "2026-11-21T22:00", duration: 2h}]',
            "x.yaml:2: maintenance[0].hosts: is needed, or tags, or metrics; all hosts are '*'",
        ),
        *(
            (
                f"version: 1\n{text}".replace("LONG", "x" * 65),
                f'x.yaml:2: {key}.author: expected text, found "{"x" * 65}"; the most is 64 characters',
            )
            for key, text in (
                ("notification_routes[0]", "notification_routes: [{name: x, channels: [ops], author: LONG}]"),
                ("maintenance[0]", "maintenance: [{name: x, author: LONG}]"),
                ("silences[0]", "silences: [{reason: x, author: LONG}]"),
                ("hosts.db1.jobs.a", "hosts: {db1: {jobs: {a: {period: 1d, author: LONG}}}}"),
            )
        ),
        (f"version: 1\nsilences: [{{hosts: {ALL}, {TIMES}}}]", "x.yaml:2: silences[0].reason: is needed"),
        (
            f'version: 1\nsilences: [{{reason: x, hosts: {ALL}, starts: "2026-11-21", ends: 5}}]',
            'x.yaml:2: silences[0].starts: expected a time such as 2026-11-21T22:00:00Z, found "2026-11-21"; write a Z'
            " behind it, which means UTC",
        ),
        (
            f'version: 1\nsilences: [{{reason: x, hosts: {ALL}, starts: "2026-11-22T00:00:00Z",'
            ' ends: "2026-11-21T00:00:00Z"}]',
            "x.yaml:2: silences[0].ends: it would be over before it begins",
        ),
        (
            f'version: 1\nsilences: [{{reason: x, hosts: {ALL}, starts: "2026-11-22T00:00:00Z",'
            ' ends: "2199-11-21T00:00:00Z"}]',
            "x.yaml:2: silences[0].ends: at most a year from now",
        ),
        (
            f"version: 1\nnotification_routes: [{{name: x, channels: ops, hosts: {'*' * 11!r}}}]",
            "x.yaml:2: notification_routes[0].hosts: at most 10 of * ? [ are taken in one pattern",
        ),
    ],
)
async def test_what_is_wrong_is_told_with_its_line_and_nothing_changes(here: Settings, text: str, problem: str) -> None:
    assert problem in await refused(here, text)


async def test_all_problems_are_told_in_the_order_of_the_file(here: Settings) -> None:
    text = "version: 1\nusers:\n  eve:\n    role: boss\nhosts:\n  web1:\n    owner: nobody\n  web2:\n    tags: 5\n"
    assert [problem.split(":")[1] for problem in await refused(here, text)] == ["4", "7", "9"]


async def test_no_more_than_a_thousand_problems_are_looked_for(here: Settings) -> None:
    problems = await refused(here, f"version: 1\nsilences: [{'{}, ' * 2000}]")
    assert len(problems) == 201
    assert problems[-1] == "x.yaml: more than 1000 problems in all"


async def test_nor_are_there_when_they_show_only_beside_what_there_is(here: Settings) -> None:
    hosts = "".join(f"  h{number}: {{managers: [ghost]}}\n" for number in range(2000))
    problems = await refused(here, f"version: 1\nhosts:\n{hosts}")
    assert problems[0] == "x.yaml:3: hosts.h0.managers[0]: there is no user ghost"
    assert problems[-1] == "x.yaml: more than 1000 problems in all"


@pytest.mark.parametrize(
    "text", ["version: 1\nhosts: {web1: {owner: nobody}}", "version: 1\nusers: {bob: {source: oidc"]
)
async def test_a_file_with_problems_keeps_nobody_from_changing_anything(here: Settings, text: str) -> None:
    entered = []

    @asynccontextmanager
    async def rewriting() -> AsyncIterator[None]:
        entered.append(text)
        yield

    async def in_force() -> None:
        entered.append(text)

    register = SettingsRegister(here.store, lambda: CONFIG, Running([rewriting], in_force))
    assert (await register.take(text, "x.yaml", False, False, "pat"))["problems"]
    assert entered == []
    await register.take("version: 1\nhosts: {new: {}}", "x.yaml", False, False, "pat")
    assert len(entered) == 2


async def test_what_is_no_longer_possible_when_it_is_written_is_refused(here: Settings) -> None:
    """Somebody has taken bob away after the file was compared."""

    @asynccontextmanager
    async def rewriting() -> AsyncIterator[None]:
        await here.take("version: 1\nusers: {root: {role: admin}, yes: {}}", removes=True)
        yield

    async def in_force() -> None:
        raise AssertionError("nothing has changed")

    register = SettingsRegister(here.store, lambda: CONFIG, Running([rewriting], in_force))
    result = await register.take("version: 1\nhosts: {web1: {owner: bob}}", "x.yaml", False, False, "pat")
    assert result == {"problems": ["x.yaml:2: hosts.web1.owner: there is no user bob"]}


async def test_what_is_good_in_a_bad_file_is_not_taken(here: Settings) -> None:
    assert await refused(here, "version: 1\nusers: {eve: {}}\nhosts: {web1: {owner: nobody}}")


async def test_removing_the_last_admin_is_refused(here: Settings) -> None:
    assert await refused(here, "version: 1\nusers: {}", removes=True) == [
        "x.yaml:2: users: nobody would be admin any more"
    ]


async def test_who_is_removed_can_be_nobodys_owner(here: Settings) -> None:
    text = "version: 1\nusers: {root: {role: admin}}\nhosts: {web1: {owner: bob}}"
    assert await refused(here, text, removes=True) == ["x.yaml:3: hosts.web1.owner: there is no user bob"]


async def test_a_secret_that_is_wrong_is_not_repeated(here: Settings) -> None:
    problems = await refused(
        here,
        "version: 1\nusers: {eve: {password: c4n4ry}}\nhosts: {db1: {jobs: {a: {period: 1d, ping_id: c4n4ry}}}}\n"
        "notification_channels: {ops: {type: webhook, url: c4n4ry, secret: [c4n4ry]}}\n",
    )
    assert len(problems) >= 3 and "c4n4ry" not in str(problems)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "a: &a [x]\nb: &b [*a, *a]\n"
            + "".join(f"{chr(99 + n)}: &{chr(99 + n)} [{', '.join([f'*{chr(98 + n)}'] * 10)}]\n" for n in range(8)),
            "more than 500000 values, aliases written out",
        ),
        ("version: " + "[" * 100, "nested deeper than 32 levels"),
        ("version: 1\n---\nversion: 1", "a second document starts here (---); one file holds one"),
        ("version: !!python/object:os.system 1", "the tag tag:yaml.org,2002:python/object:os.system is not used here"),
    ],
)
async def test_yaml_that_does_harm_is_refused(here: Settings, text: str, reason: str) -> None:
    (problem,) = await refused(here, text)
    assert reason in problem
