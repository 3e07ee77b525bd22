"""What ``hbd agent …`` does is in the audit log."""

from __future__ import annotations

from hbd.agent_register import AgentRegister
from hbd.agents import Agents
from hbd.config import Config
from hbd.enrolment import Enrolment
from hbd.hosts import Hosts
from hbd.store import Store


async def test_what_is_done_with_keys_and_hosts_is_told_with_who_did_it(store: Store) -> None:
    hosts = Hosts()
    enrolment = Enrolment(hosts, store)
    await enrolment.load(Config())
    agents = Agents(AgentRegister(enrolment, hosts), hosts, store)
    key = await agents.add("web", by="root")
    await agents.rotate("web", by="root")
    await agents.revoke("web", by="root")
    await agents.remove("WEB", by="root")
    entries = await store.audit.recent(10)
    assert [(entry.action, entry.object, entry.via, entry.detail) for entry in reversed(entries)] == [
        (f"agent.{verb}", "host web", "cli", "by root") for verb in ("add", "rotate", "revoke", "remove")
    ]
    assert key not in str(entries)
