"""One deployment of an agent: what was ordered, and how far it has come."""

from __future__ import annotations

import asyncio
import time

from msgspec import Struct, field

from hbd.hosts import Host
from hbd.store.deployments import DeploymentRow, Status, Step

TITLES = {
    "connect": "Connect over SSH",
    "check": "Look whether the agent can run there",
    "enrol": "Give it a key",
    "install": "Install and start the agent",
    "report": "Hear from it",
}
"""the steps, in their order"""


class Order(Struct, kw_only=True):
    """What is to be deployed.

    name: of the host here, "" for the label where it can be one, else what the machine calls itself. server: the URL
    the agent is to report to, "" for what we know of ourselves. host_key: fingerprint of the only one that is believed.
    alone: without root, for that user.
    """

    address: str
    port: int
    user: str
    key: str
    label: str = ""
    name: str = ""
    tags: tuple[str, ...] = ()
    server: str = ""
    host_key: str = ""
    alone: bool = False
    self_update: bool = False


class Deployment(Struct, kw_only=True):
    """Times are Unix seconds. key: the agent's; it is nowhere else. lent: its hash, until it is known whether the
    machine has it beside the one that it had. version: counts changes.

    changed: set at the next change; there is another one then. linked: the agent has connected.
    """

    id: int
    address: str
    port: int
    ssh_user: str
    label: str
    author: str
    created: float
    finished: float | None = None
    status: Status = "running"
    steps: list[Step] = field(default_factory=lambda: [Step(name, title) for name, title in TITLES.items()])
    error: str = ""
    code: str = ""
    host_key: str = ""
    lent: bytes | None = None
    host: Host | None = None
    key: str = ""
    version: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    linked: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def remembered(cls, number: int, row: DeploymentRow, host: Host | None) -> Deployment:
        known = row._asdict()
        del known["host_id"]
        return cls(id=number, host=host, **known)

    def is_to(self, order: Order) -> bool:
        """Whether it went to the same address."""
        return (self.address, self.port) == (order.address, order.port)

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)

    @property
    def failed_step(self) -> str:
        return next((step.name for step in self.steps if step.status == "failed"), "")

    def touch(self) -> None:
        """Tell those who watch that it has changed."""
        self.version += 1
        self.changed.set()
        self.changed = asyncio.Event()

    def end(self, status: Status, error: str = "", code: str = "") -> None:
        for step in self.steps:
            if step.status == "running":
                step.status = "failed"
        self.status, self.error, self.code = status, error, code
        self.finished = time.time()

    def row(self) -> DeploymentRow:
        return DeploymentRow(
            self.host.id if self.host is not None else None,
            self.address,
            self.port,
            self.ssh_user,
            self.label,
            self.author,
            self.created,
            self.finished,
            self.status,
            self.steps,
            self.error,
            self.code,
            self.host_key,
            self.lent,
        )
