"""Deployments over a connection that does what a test tells it: which host it becomes, what is left when it fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hbc.wire import key_hash
from hbd.agent_register import AgentRegister
from hbd.config import Config
from hbd.config.structs import Agents
from hbd.enrolment import Enrolment
from hbd.errors import Busy, Conflict, InvalidInput, NotFound
from hbd.hosts import Hosts
from hbd.remote import ssh
from hbd.remote.deploy import STOPPED, Deployments
from hbd.remote.deploy_steps import Parts
from hbd.remote.deployment import Deployment, Order
from hbd.remote.package import Packages
from hbd.remote.ssh import HostKeyRefused, Ran, SshFailed
from hbd.remote.whereabouts import Whereabouts
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.audit import Entry

PRINT = "SHA256:" + "A" * 43
FACTS = "system=Linux\nname=db 01.local\nuser=0\npython=False\npython=True\n"


class Machine:
    """What a connection leads to. scripts: what it was made to run, with the command."""

    def __init__(self) -> None:
        self.facts = FACTS
        self.line = ""
        self.script: Ran | SshFailed = Ran(0, "Done: hbc runs.\n", "")
        self.refusal: SshFailed | None = None
        self.scripts: list[tuple[str, str]] = []
        self.trust: ssh.Trust | None = None
        self.installed: Callable[[], None] = lambda: None
        self.held: asyncio.Event | None = None
        self.closed = 0
        self.fingerprint = PRINT
        self.local_address = "127.0.0.1"

    async def connect(self, target: ssh.Target, trust: ssh.Trust) -> Any:
        self.trust = trust
        if self.refusal is not None:
            raise self.refusal
        return self

    async def run(self, command: str, given: str = "", *, seconds: float) -> Ran:
        if not given:
            return Ran(0, self.facts, "")
        if self.held is not None:
            await self.held.wait()
        self.scripts.append((command, given))
        if isinstance(self.script, SshFailed):
            raise self.script
        if self.script.status == 0:
            self.installed()
        return self.script

    async def close(self) -> None:
        self.closed += 1


class Stand:
    """Deployments over a store, and the machine they all lead to, whose agent connects at once."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "hbd.db", Stats())
        self.hosts = Hosts()
        self.enrolment = Enrolment(self.hosts, self.store)
        self.machine = Machine()
        self.config = Config(agents=Agents(ssh_keys=folder))
        (folder / "id_ed25519").write_text("a key")
        self.parts = Parts(
            lambda: self.config,
            self.store.deployments,
            self.hosts,
            self.enrolment,
            AgentRegister(self.enrolment, self.hosts),
            Packages(),
            Whereabouts(lambda: self.config, lambda: ["http://127.0.0.1:50004/"]),
            self.machine.connect,
            report_seconds=0.2,
        )
        self.deployments = Deployments(self.parts)
        self.machine.installed = self.link

    def link(self) -> None:
        for host in self.hosts:
            host.agent_version = "1"
            self.deployments.linked(host)

    async def start(self, **words: Any) -> Deployment:
        order = Order(**{"address": "192.0.2.1", "port": 22, "user": "root", "key": "id_ed25519", **words})
        return await self.deployments.start(order, entry())

    async def deploy(self, **words: Any) -> Deployment:
        deployment = await self.start(**words)
        await self.deployments.ended(deployment)
        return deployment

    def keys(self, name: str) -> int:
        """How many keys of a host last."""
        return sum(key.expires is None for key in self.enrolment.keys(self.hosts.require(name), time.time()))


def entry() -> Entry:
    return Entry(time=time.time(), user="alice", via="session", action="deploy", object="machine 192.0.2.1")


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    made = Stand(tmp_path)
    await made.store.open()
    yield made
    await made.deployments.close()
    await made.store.close()


# ----------------------------------------------------------------------------------------------------- which host it is


async def test_every_step_is_done_in_the_end(stand: Stand) -> None:
    deployment = await stand.deploy(label="db-01")
    assert (deployment.status, deployment.error) == ("done", "")
    assert {step.status for step in deployment.steps} == {"done"}
    assert deployment.host is not None
    assert stand.enrolment.host_of(deployment.key, time.time()) is deployment.host
    assert stand.machine.closed == 1


async def test_a_label_that_can_be_a_name_is_the_hosts_name(stand: Stand) -> None:
    deployment = await stand.deploy(label="db-01", tags=("db",))
    host = stand.hosts.require("db-01")
    assert deployment.host is host
    assert (host.label, host.given_tags) == ("db-01", ["db"])


async def test_without_such_a_label_the_host_is_called_as_it_calls_itself(stand: Stand) -> None:
    await stand.deploy(label="The database")
    assert stand.hosts.require("db-01.local").label == "The database"


async def test_a_name_wins_over_the_label(stand: Stand) -> None:
    await stand.deploy(label="db-01", name="db-2")
    assert stand.hosts.require("db-2").label == "db-01"


async def test_a_second_deployment_is_for_the_same_host_with_one_key_that_lasts(stand: Stand) -> None:
    first = await stand.deploy(label="db-01")
    second = await stand.deploy()
    assert second.host is first.host
    assert second.key != first.key
    assert stand.keys("db-01") == 1


async def test_a_name_whose_host_has_an_agent_is_not_taken_from_it(stand: Stand) -> None:
    await stand.deploy(label="db-01")
    deployment = await stand.deploy(address="192.0.2.2", label="db-01")
    assert deployment.failed_step == "enrol"
    assert "there is a host 'db-01' with an agent already" in deployment.error
    assert stand.keys("db-01") == 1


async def test_a_host_that_waits_for_its_agent_gets_it(stand: Stand) -> None:
    await stand.enrolment.add("db-01")
    assert (await stand.deploy(label="db-01")).status == "done"
    assert stand.keys("db-01") == 1


async def test_a_machine_that_calls_itself_as_a_host_with_a_key_does_not_get_that_host(stand: Stand) -> None:
    key = await stand.enrolment.add("db-01.local")
    deployment = await stand.deploy()
    assert (deployment.failed_step, deployment.code, deployment.host) == ("enrol", "known_host", None)
    assert '"name": "db-01.local"' in deployment.error
    assert [stand.enrolment.host_of(key, time.time())] == list(stand.hosts)
    assert stand.keys("db-01.local") == 1


async def test_a_machine_that_calls_itself_as_a_host_of_the_config_does_not_get_that_host(stand: Stand) -> None:
    await stand.enrolment.name_hosts(Config(watchhosts=["db-01.local"]))
    deployment = await stand.deploy()
    assert deployment.code == "known_host"
    assert stand.keys("db-01.local") == 0
    assert (await stand.deploy(label="db-01.local")).status == "done"


async def test_who_gives_the_name_of_a_host_with_an_agent_means_it(stand: Stand) -> None:
    first = await stand.deploy(label="db-01")
    moved = await stand.deploy(address="192.0.2.2", name="db-01")
    assert (moved.status, moved.host) == ("done", first.host)


async def test_another_label_for_an_address_is_another_host(stand: Stand) -> None:
    first = await stand.deploy(label="db-01")
    second = await stand.deploy(label="web-02")
    assert second.host is stand.hosts.require("web-02")
    assert stand.enrolment.host_of(first.key, time.time()) is stand.hosts.require("db-01")
    assert stand.enrolment.host_of(second.key, time.time()) is second.host


async def test_another_machine_at_an_address_is_not_taken_for_the_one_that_was_there(stand: Stand) -> None:
    await stand.deploy(name="db-01")
    stand.machine.fingerprint = "SHA256:" + "B" * 43
    second = await stand.deploy()
    assert second.host is stand.hosts.require("db-01.local")


async def test_a_machine_that_was_installed_anew_is_the_host_that_its_label_names(stand: Stand) -> None:
    first = await stand.deploy(label="db-01")
    stand.machine.fingerprint = "SHA256:" + "B" * 43
    second = await stand.deploy(label="db-01")
    assert (second.status, second.host) == ("done", first.host)


# -------------------------------------------------------------------------------------------------- what it is told


async def test_the_script_goes_over_the_connection_and_holds_the_key(stand: Stand) -> None:
    deployment = await stand.deploy()
    ((command, given),) = stand.machine.scripts
    assert command == "sh -s --"
    assert f"KEY={deployment.key}\n" in given
    assert "SERVER=http://127.0.0.1:50004\n" in given


async def test_where_no_systemd_starts_it_the_line_for_the_crontab_is_told(stand: Stand) -> None:
    said = ["Done: hbc runs.", "To have it started with the machine, add this to root's crontab:", "  @reboot hbc run"]
    stand.machine.script = Ran(0, "\n".join([*said, "To have it use a change, run this again."]), "")
    deployment = await stand.deploy()
    told = "there. To have it started with the machine, add this to root's crontab: @reboot hbc run"
    assert deployment.step("install").detail.endswith(told)


async def test_a_user_who_is_not_root_uses_sudo(stand: Stand) -> None:
    stand.machine.facts = FACTS.replace("user=0", "user=1000\nsudo=yes")
    await stand.deploy(self_update=True)
    assert stand.machine.scripts[0][0] == "sudo -n sh -s -- --self-update"


async def test_without_root_and_sudo_it_can_be_for_that_user_alone(stand: Stand) -> None:
    stand.machine.facts = FACTS.replace("user=0", "user=1000")
    refused = await stand.deploy()
    assert refused.failed_step == "check"
    assert '"scope": "user"' in refused.error
    assert (await stand.deploy(alone=True)).status == "done"
    assert stand.machine.scripts[0][0] == "sh -s -- --user"


async def test_base_url_is_where_the_agent_reports_to(stand: Stand) -> None:
    stand.config = msgspec.structs.replace(stand.config, base_url="https://mon.example/hbd")
    await stand.deploy()
    assert "SERVER=https://mon.example/hbd\n" in stand.machine.scripts[0][1]


async def test_a_server_in_the_order_wins(stand: Stand) -> None:
    await stand.deploy(server="https://other.example:50004")
    assert "SERVER=https://other.example:50004\n" in stand.machine.scripts[0][1]


async def test_a_daemon_that_nobody_reaches_says_so_before_it_changes_anything(stand: Stand) -> None:
    stand.machine.local_address = "192.0.2.9"
    deployment = await stand.deploy()
    assert deployment.failed_step == "check"
    assert "hbd listens on its own machine alone" in deployment.error
    assert not len(stand.hosts)


# ---------------------------------------------------------------------------------------------------------- host keys


async def test_a_new_host_key_is_recorded_and_believed_from_then_on(stand: Stand) -> None:
    stand.machine.line = "192.0.2.1 ssh-ed25519 AAAA"
    await stand.deploy()
    stand.machine.line = ""
    await stand.deploy()
    assert stand.machine.trust is not None
    assert stand.machine.trust.known.splitlines()[-1] == "192.0.2.1 ssh-ed25519 AAAA"
    actions = [line.action for line in await stand.store.audit.recent(10)]
    assert actions.count("deploy.host_key") == 1


async def test_known_hosts_in_the_folder_of_the_keys_counts(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text("192.0.2.1 ssh-ed25519 BBBB\n")
    await stand.deploy()
    assert stand.machine.trust is not None
    assert "192.0.2.1 ssh-ed25519 BBBB" in stand.machine.trust.known


async def test_s57_a_refused_host_key_is_shown_and_nothing_is_done(stand: Stand) -> None:
    stand.machine.refusal = HostKeyRefused("not known", "unknown_host_key", PRINT)
    deployment = await stand.deploy(label="db-01")
    assert (deployment.status, deployment.code, deployment.host_key) == ("failed", "unknown_host_key", PRINT)
    assert deployment.failed_step == "connect"
    assert not len(stand.hosts)


async def test_recorded_host_keys_can_be_forgotten(stand: Stand) -> None:
    stand.machine.line = "192.0.2.1 ssh-ed25519 AAAA"
    await stand.deploy()
    await stand.deployments.forget_host_keys("192.0.2.1", 22, entry())
    await stand.deploy()
    assert stand.machine.trust is not None
    assert "AAAA" not in stand.machine.trust.known


async def test_forgetting_none_says_so(stand: Stand) -> None:
    with pytest.raises(NotFound):
        await stand.deployments.forget_host_keys("192.0.2.1", 22, entry())


# ------------------------------------------------------------------------------------------------------------- failing


@pytest.mark.parametrize(
    ("facts", "because"),
    [
        (FACTS.replace("Linux", "FreeBSD"), "FreeBSD"),
        (FACTS.replace("python=True", "python="), "needs Python 3.11"),
        ("Welcome!\n", "says: nothing"),
    ],
)
async def test_f67_a_machine_that_cannot_run_it_is_left_as_it_is(stand: Stand, facts: str, because: str) -> None:
    stand.machine.facts = facts
    deployment = await stand.deploy()
    assert deployment.failed_step == "check"
    assert because in deployment.error
    assert not stand.machine.scripts
    assert not len(stand.hosts)


async def test_f67_when_the_script_put_all_back_no_host_is_left(stand: Stand) -> None:
    stand.machine.script = Ran(1, "what was installed is removed\n", "hbc: the package cannot be fetched\n")
    deployment = await stand.deploy(label="db-01")
    assert deployment.failed_step == "install"
    assert "the package cannot be fetched" in deployment.error
    assert not len(stand.hosts)
    assert stand.enrolment.host_of(deployment.key, time.time()) is None


async def test_f67_a_script_that_fails_tells_its_reason_and_what_is_left_and_not_what_it_meant_to_do(
    stand: Stand,
) -> None:
    said = (
        "hbc 1.2.3 is installed on this machine\n  program  hbc.pyz\nIt did not work; what was installed is removed.\n"
    )
    stand.machine.script = Ran(1, said, "hbc: the package cannot be fetched\n")
    deployment = await stand.deploy()
    assert deployment.error == "hbc: the package cannot be fetched; It did not work; what was installed is removed."


async def test_f67_when_the_script_put_all_back_the_old_agent_keeps_its_key(stand: Stand) -> None:
    first = await stand.deploy(label="db-01")
    stand.machine.script = Ran(1, "", "no\n")
    second = await stand.deploy()
    assert second.failed_step == "install"
    assert stand.enrolment.host_of(first.key, time.time()) is first.host
    assert stand.enrolment.host_of(second.key, time.time()) is None
    assert stand.keys("db-01") == 1


async def test_f67_when_the_connection_broke_both_keys_hold_and_a_rerun_settles_it(stand: Stand) -> None:
    first = await stand.deploy(label="db-01")
    stand.machine.script = SshFailed("the connection broke")
    second = await stand.deploy()
    assert second.failed_step == "install"
    assert stand.enrolment.host_of(first.key, time.time()) is first.host
    assert stand.enrolment.host_of(second.key, time.time()) is first.host
    stand.machine.script = Ran(0, "", "")
    assert (await stand.deploy()).status == "done"
    assert stand.keys("db-01") == 1


async def broken(stand: Stand) -> tuple[Deployment, Deployment]:
    """A deployment, and another one that broke: nobody knows whether the machine has its key."""
    first = await stand.deploy(label="db-01")
    stand.machine.script = SshFailed("the connection broke")
    return first, await stand.deploy()


async def test_f67_a_key_that_the_machine_may_have_ends_after_a_day(stand: Stand) -> None:
    first, second = await broken(stand)
    assert stand.keys("db-01") == 1
    assert stand.enrolment.host_of(first.key, time.time() + 1e6) is first.host
    assert stand.enrolment.host_of(second.key, time.time() + 86_401) is None


@pytest.mark.parametrize("restarted", [False, True])
async def test_f67_a_key_that_the_machine_has_shown_lasts(stand: Stand, restarted: bool) -> None:
    first, second = await broken(stand)
    shown = stand.enrolment.live(second.key, time.time())
    assert shown is not None
    await stand.enrolment.prove(shown, time.time())
    if restarted:
        await Deployments(stand.parts).load()
    else:
        stand.deployments.linked(shown.host)
        await stand.deployments.close()
    assert stand.enrolment.host_of(second.key, time.time() + 1e6) is first.host
    assert stand.enrolment.host_of(first.key, time.time() + 86_401) is None


async def test_f67_a_key_that_no_machine_got_is_gone_when_the_daemon_starts_anew(stand: Stand) -> None:
    first = await stand.deploy(label="db-01")
    lent = await stand.enrolment.lend(stand.hosts.require("db-01"))
    running = Deployment(
        id=0, address="192.0.2.1", port=22, ssh_user="root", label="", author="alice", created=1.0, host=first.host
    )
    running.step("enrol").status, running.lent = "running", key_hash(lent)
    await stand.store.deployments.add(running.row(), entry())
    await Deployments(stand.parts).load()
    assert stand.enrolment.host_of(lent, time.time()) is None
    assert stand.enrolment.host_of(first.key, time.time()) is first.host


async def test_f67_an_agent_that_is_not_heard_of_is_a_step_of_its_own_and_a_rerun_repairs_it(stand: Stand) -> None:
    stand.machine.installed = lambda: None
    first = await stand.deploy(label="db-01")
    assert first.failed_step == "report"
    assert "it has to reach http://127.0.0.1:50004" in first.error
    stand.machine.installed = stand.link
    second = await stand.deploy()
    assert (second.status, second.host) == ("done", first.host)


async def test_a_failure_is_in_the_audit_log(stand: Stand) -> None:
    stand.machine.facts = "nothing"
    await stand.deploy()
    (end, began) = await stand.store.audit.recent(10, action="deploy")
    assert (began.user, began.outcome) == ("alice", "done")
    assert (end.action, end.user, end.outcome) == ("deploy.end", "alice", "failed")


async def test_no_key_is_in_the_database_or_the_audit_log(stand: Stand, tmp_path: Path) -> None:
    deployment = await stand.deploy()
    await stand.store.close()
    assert deployment.key.encode() not in (tmp_path / "hbd.db").read_bytes()


# --------------------------------------------------------------------------------------------------- many, and stopping


async def test_one_that_runs_can_be_cancelled_and_another_begun(stand: Stand) -> None:
    stand.machine.held = asyncio.Event()
    deployment = await stand.start()
    async for state in stand.deployments.watch(deployment):
        if state.steps[3].status == "running":
            stand.deployments.cancel(deployment)
    assert (deployment.status, deployment.failed_step) == ("cancelled", "install")
    stand.machine.held = None
    assert (await stand.deploy()).status == "done"


async def test_the_daemon_does_not_wait_for_a_machine_that_hangs(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hbd.remote.deploy.CLOSE_SECONDS", 0.05)
    hanging, over = asyncio.Event(), asyncio.Event()

    async def close() -> None:
        hanging.set()
        await over.wait()

    stand.machine.held, stand.machine.close = asyncio.Event(), close  # type: ignore[method-assign]
    deployment = await stand.start()
    async for state in stand.deployments.watch(deployment):
        if state.steps[3].status == "running":
            break
    async with asyncio.timeout(30):
        await stand.deployments.close()
    assert hanging.is_set()
    over.set()
    await stand.deployments.ended(deployment)


async def test_one_that_has_ended_cannot_be_cancelled(stand: Stand) -> None:
    deployment = await stand.deploy()
    with pytest.raises(Conflict):
        stand.deployments.cancel(deployment)


async def test_two_at_once_to_one_machine_are_one_too_many(stand: Stand) -> None:
    stand.machine.held = asyncio.Event()
    await stand.start()
    with pytest.raises(Conflict, match="deployment 1"):
        await stand.start()


async def test_only_some_run_at_once(stand: Stand) -> None:
    stand.machine.held = asyncio.Event()
    for number in range(4):
        await stand.start(address=f"192.0.2.{number}", name=f"db-{number}")
    with pytest.raises(Busy):
        await stand.start(address="192.0.2.9")


async def test_one_that_ran_when_the_daemon_stopped_has_failed(stand: Stand) -> None:
    stand.machine.held = asyncio.Event()
    running = await stand.start(label="db-01")
    async for state in stand.deployments.watch(running):
        if state.steps[3].status == "running":
            break
    await stand.deployments.close()
    again = Deployments(stand.parts)
    await again.load()
    known = again.get(running.id)
    assert known.error == STOPPED
    assert known.finished is not None


async def test_what_was_deployed_is_known_after_a_restart(stand: Stand) -> None:
    before = await stand.deploy(label="db-01")
    again = Deployments(stand.parts)
    await again.load()
    known = again.get(before.id)
    assert (known.status, known.host, known.steps) == ("done", before.host, before.steps)
    assert known.key == ""


async def test_with_its_host_a_deployment_is_forgotten(stand: Stand) -> None:
    deployment = await stand.deploy(label="db-01")
    host = stand.hosts.require("db-01")
    await stand.enrolment.remove(host)
    stand.deployments.forget(host)
    assert stand.deployments.recent() == []
    assert await stand.store.deployments.all() == []
    with pytest.raises(NotFound):
        stand.deployments.get(deployment.id)


async def test_a_host_that_was_removed_meanwhile_is_made_anew(stand: Stand) -> None:
    stand.machine.held = asyncio.Event()
    deployment = await stand.start(label="db-01")
    async for state in stand.deployments.watch(deployment):
        if state.steps[3].status == "running":
            host = stand.hosts.require("db-01")
            await stand.enrolment.remove(host)
            stand.deployments.forget(host)
            stand.machine.held.set()
    assert deployment.status == "failed"
    stand.machine.held = None
    again = await stand.deploy(label="db-01")
    assert again.status == "done"
    assert again.host is not host


@pytest.mark.parametrize("key", ["none", "../id_ed25519", "/etc/shadow", "~/.ssh/../x", "~/id_ed25519", "a\nb"])
async def test_a_key_that_is_not_in_the_folder_is_refused(stand: Stand, key: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await stand.start(key=key)
    assert refused.value.field == "ssh_key"


@pytest.mark.parametrize("key", ["id_ed25519", "~/.ssh/id_ed25519", ""])
async def test_a_key_is_found_by_its_name_in_whatever_folder(stand: Stand, key: str) -> None:
    assert (await stand.deploy(key=key)).status == "done"


async def test_a_key_is_found_by_its_whole_path(stand: Stand, tmp_path: Path) -> None:
    assert (await stand.deploy(key=str(tmp_path / "id_ed25519"))).status == "done"
