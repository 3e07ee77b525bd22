"""The steps of one deployment, from the connection to the first word of the agent.

A machine is told nothing before its host key is believed. What it runs is the install script, sent over the connection
and cut off with it: a script that did not come whole runs nothing, and one that fails puts back what was there.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from hbc.wire import key_hash
from hbd.config import Config
from hbd.enrolment import Enrolment
from hbd.errors import HbdError
from hbd.hosts import Host, Hosts
from hbd.model import is_host_name
from hbd.remote import ssh, ssh_keys
from hbd.remote.deployment import Deployment, Order
from hbd.remote.install_script import Server, script
from hbd.remote.package import PYTHON, Packages
from hbd.remote.whereabouts import Whereabouts
from hbd.store.audit import Entry
from hbd.store.deployments import DeploymentTables, Step

CHECK_SECONDS = 30.0
INSTALL_SECONDS = 300.0

# Quotes and words that every login shell takes the same way.
_LOOK = (
    "sh -c 'echo system=$(uname -s); echo name=$(uname -n); echo user=$(id -u); "
    "sudo -n true 2>/dev/null && echo sudo=yes; "
    "for p in python3 python3.14 python3.13 python3.12 python3.11; do "
    f'echo python=$($p -I -c "import sys; print(sys.version_info >= {PYTHON})" 2>/dev/null); done\''
)
_ODD = re.compile(r"[^A-Za-z0-9._-]")
_LINES_TOLD = 5
_BY_CRON = "crontab:"
"""in what the script says where no systemd runs; the line to put there follows"""
_CHARACTERS_TOLD = 1000


class Failed(HbdError):
    """A step did not work; says why. code: the same for programs, where they can do something about it."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class Register(Protocol):
    """Who makes hosts known and forgets them."""

    async def enrol(
        self, name: str, entry: Entry, *, label: str | None, tags: Sequence[str] | None, max_hosts: int | None
    ) -> tuple[Host, str]: ...

    async def remove(self, host: Host, entry: Entry) -> None: ...


class Parts(NamedTuple):
    """What all deployments share. report_seconds: how long an agent that was installed may take to be heard."""

    config: Callable[[], Config]
    store: DeploymentTables
    hosts: Hosts
    enrolment: Enrolment
    register: Register
    packages: Packages
    whereabouts: Whereabouts
    connect: Callable[[ssh.Target, ssh.Trust], Awaitable[ssh.Connection]] = ssh.connect
    report_seconds: float = 60.0


class Facts(NamedTuple):
    """What a machine says of itself. root: whether we are."""

    name: str
    root: bool


class Work:
    """One deployment that runs."""

    def __init__(
        self, parts: Parts, deployment: Deployment, order: Order, before: Deployment | None, entry: Entry
    ) -> None:
        """before: the newest deployment of a host to that address. entry: of whoever began it."""
        self._parts = parts
        self._deployment = deployment
        self._order = order
        self._before = before
        self._entry = entry
        self._connection: ssh.Connection | None = None
        self._lent = False  # there is a key that the machine has not got
        self._made = False  # the host was made for this deployment

    async def run(self, key: Path) -> None:
        """All steps. Raises HbdError with what went wrong in the step that has failed."""
        target = ssh.Target(self._order.address, self._order.port, self._order.user, key)
        with self._step("connect") as step:
            connection = self._connection = await self._connected(target)
            step.detail = f"host key {connection.fingerprint}" + (", recorded now" if connection.line else "")
        with self._step("check") as step:
            facts, server = await self._looked(connection), self._server(connection)
            step.detail = f"{facts.name}; it will report to {server.url}"
        with self._step("enrol") as step:
            host = await self._enrolled(facts)
            step.detail = f"as host {host.name}"
        with self._step("install") as step:
            step.detail = await self._installed(connection, host, server, facts)
        with self._step("report") as step:
            await self._heard(server)
            step.detail = "its agent has connected"

    async def tidy(self) -> None:
        """Close the connection; take back a key that the machine did not get, and a host that is nothing without."""
        deployment, host = self._deployment, self._deployment.host
        if self._connection is not None:
            await self._connection.close()
        if not self._lent or host is None:
            return
        if self._made:
            deployment.host = None
            await self._parts.store.save(deployment.id, deployment.row())
            await self._parts.register.remove(host, self.told("agent.remove", f"host {host.name}", "not deployed"))
        else:
            await self._parts.enrolment.withdraw(host, key_hash(deployment.key))
            deployment.lent = None

    def told(self, action: str, about: str, detail: str, *, done: bool = True) -> Entry:
        """For the audit log, by whoever began it."""
        began = self._entry
        return Entry(
            time=time.time(),
            user=began.user,
            via=began.via,
            address=began.address,
            action=action,
            object=about,
            outcome="done" if done else "failed",
            detail=detail[:_CHARACTERS_TOLD],
        )

    @contextmanager
    def _step(self, name: str) -> Iterator[Step]:
        step = self._deployment.step(name)
        step.status = "running"
        self._deployment.touch()
        try:
            yield step
        except HbdError as error:
            step.status, step.detail = "failed", str(error)
            raise
        step.status = "done"
        self._deployment.touch()

    async def _connected(self, target: ssh.Target) -> ssh.Connection:
        config, deployment = self._parts.config(), self._deployment
        recorded = await self._parts.store.host_keys(target.host, target.port)
        known = await asyncio.to_thread(_text, ssh_keys.folder(config) / "known_hosts")
        new = config.agents.unknown_host_keys == "record"
        trust = ssh.Trust("\n".join([known, *recorded]), wanted=self._order.host_key, new=new)
        connection = await self._parts.connect(target, trust)
        deployment.host_key = connection.fingerprint
        if connection.line:
            detail = f"{connection.fingerprint}, seen for the first time"
            entry = self.told("deploy.host_key", f"machine {target.known_as}", detail)
            await self._parts.store.record(target.host, target.port, connection.line, entry)
        return connection

    async def _looked(self, connection: ssh.Connection) -> Facts:
        ran = await connection.run(_LOOK, seconds=CHECK_SECONDS)
        said = [line.partition("=")[::2] for line in ran.stdout.splitlines()]
        facts = dict(said)
        if facts.get("system") != "Linux" or "user" not in facts or "name" not in facts:
            told = facts.get("system") or ran.stderr.strip()[:200] or "nothing"
            raise Failed(f"the machine runs no Linux with a usual shell (it says: {told})")
        if ("python", "True") not in said:
            raise Failed(f"the agent needs Python {PYTHON[0]}.{PYTHON[1]} or newer there; install it and deploy again")
        root = facts["user"] == "0"
        if not root and "sudo" not in facts and not self._order.alone:
            raise Failed(
                f"{self._order.user} is not root and may not use sudo without a password; let it, name a user who "
                'may, or deploy without root ("scope": "user") to install for that user alone'
            )
        return Facts(_ODD.sub("-", facts["name"])[:253], root)

    def _server(self, connection: ssh.Connection) -> Server:
        if self._order.server:
            return self._parts.whereabouts.at(self._order.server)
        return self._parts.whereabouts.from_network(connection.local_address)

    async def _enrolled(self, facts: Facts) -> Host:
        """The host with a key for its agent: the one that was deployed there before, one that waits for its agent, or
        a new one."""
        deployment, order, parts = self._deployment, self._order, self._parts
        named = order.name or (order.label if is_host_name(order.label) else "")
        name = named or facts.name
        host = self._before_host(named) or self._known_host(name, said=bool(named))
        if host is not None and parts.enrolment.has_key(host):
            deployment.host, deployment.key = host, await parts.enrolment.lend(host)
            deployment.lent = key_hash(deployment.key)
        else:
            self._made = host is None
            deployment.host, deployment.key = await parts.register.enrol(
                host.name if host is not None else name,
                self.told("agent.add", f"host {name}", "deployed"),
                label=order.label or None,
                tags=order.tags or None,
                max_hosts=parts.config().limits.max_hosts,
            )
        self._lent = True
        await parts.store.save(deployment.id, deployment.row())
        return deployment.host

    def _before_host(self, named: str) -> Host | None:
        """The host that was deployed to that address before, when this is for it again: by its name, or by the host
        key of the machine as long as nothing else is said."""
        before = self._before
        if before is None or before.host is None or self._parts.hosts.known(before.host.name) is not before.host:
            return None
        if named.lower() == before.host.name.lower():
            return before.host
        same = before.host_key == self._deployment.host_key and self._order.label in ("", before.label)
        return before.host if same and not self._order.name else None

    def _known_host(self, name: str, *, said: bool) -> Host | None:
        """The host of that name, None where there is none yet. said: by who deploys, and not by the machine, which may
        call itself as it likes. Raises Failed when it may be another machine's."""
        host = self._parts.hosts.known(name)
        if host is None or self._order.name:
            return host
        if said and not (host.agent_version and self._parts.enrolment.has_key(host)):
            return host
        whose = f"there is a host '{host.name}'" + (" with an agent already" if host.agent_version else " already")
        if not said:
            whose = f"the machine calls itself '{name}', and {whose}"
        raise Failed(
            f'{whose}; if it is this machine, give "name": "{host.name}", otherwise another name', "known_host"
        )

    async def _installed(self, connection: ssh.Connection, host: Host, server: Server, facts: Facts) -> str:
        deployment, order = self._deployment, self._order
        text = script(server, await self._parts.packages.get(), host.name, deployment.key)
        shell = "sh -s --" if facts.root or order.alone else "sudo -n sh -s --"
        options = [*(["--user"] if order.alone else []), *(["--self-update"] if order.self_update else [])]
        deployment.linked.clear()
        self._lent = False  # from here on the machine may have the key, unless the script says that it put all back
        ran = await connection.run(" ".join([shell, *options]), text, seconds=INSTALL_SECONDS)
        said = _lines(ran.stdout)
        if ran.status != 0:
            self._lent = ran.status > 0
            reason = "; ".join([*_lines(ran.stderr)[:_LINES_TOLD], *said[-1:]])
            raise Failed(reason[:_CHARACTERS_TOLD] or f"the script ended with {ran.status}")
        await self._parts.enrolment.settle(host, key_hash(deployment.key))
        deployment.lent = None
        runs = f"hbc {(await self._parts.packages.get()).version} runs there"
        by_cron = next((" ".join(said[at : at + 2]) for at, line in enumerate(said) if _BY_CRON in line), "")
        return f"{runs}. {by_cron}"[:_CHARACTERS_TOLD] if by_cron else runs

    async def _heard(self, server: Server) -> None:
        try:
            async with asyncio.timeout(self._parts.report_seconds):
                await self._deployment.linked.wait()
        except TimeoutError:
            raise Failed(
                f"the agent is installed and runs, but was not heard of within {self._parts.report_seconds:g} s; "
                f"it has to reach {server.url}, and its log says why it does not"
            ) from None


def _lines(text: str) -> list[str]:
    """Those with something in them."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _text(file: Path) -> str:
    """What is in known_hosts; nothing where there is none. Raises Failed."""
    try:
        return file.read_text("utf-8", "replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Failed(f"{file}: {error.strerror or error}") from None
