"""Installing agents over SSH, over HTTP: at once with the end as the answer, or begun and then watched."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import AsyncGenerator
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from hbd.errors import InvalidInput, NotFound
from hbd.model import HOST_NAME_RULE, is_host_name
from hbd.remote.deployment import Deployment, Order
from hbd.store.deployments import Status, Step
from hbd.web import schemas, sse
from hbd.web.agents import Label, Tags
from hbd.web.call import Call
from hbd.web.errors import Worded

_MACHINE = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII
)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")

Port = Annotated[int, Meta(ge=1, le=65535)]


class NewDeployment(Struct, forbid_unknown_fields=True):
    """host: name or address of the machine. ssh_key: name of a key file of the daemon's; left out: the first usual one.

    name: of the host here; left out: the label where it can be one, else what the machine calls itself. server: URL
    that the agent is to report to; left out: the daemon's, as that machine sees it. host_key: fingerprint
    (``SHA256:…``) of the only host key that is believed. scope: ``user`` installs without root, for ssh_user alone.
    self_update: whether the agent may replace itself when it is told to (``update_agent``).
    """

    host: str
    ssh_user: str = "root"
    ssh_port: Port = 22
    ssh_key: Annotated[str, Meta(max_length=1000)] = ""
    label: Label | None = None
    name: str = ""
    tags: Tags | None = None
    server: Annotated[str, Meta(max_length=500)] = ""
    host_key: str = ""
    scope: Literal["system", "user"] = "system"
    self_update: bool = False

    def order(self) -> Order:
        """Raises InvalidInput with the field that is wrong."""
        if not _is_machine(self.host):
            raise InvalidInput("the name or the address of a machine is needed", "host")
        if not _USER.fullmatch(self.ssh_user):
            raise InvalidInput("this is no name of a user", "ssh_user")
        if self.name and not is_host_name(self.name):
            raise InvalidInput(HOST_NAME_RULE, "name")
        if self.host_key and not _FINGERPRINT.fullmatch(self.host_key):
            raise InvalidInput("a fingerprint like SHA256:… is needed, as ssh-keygen -l shows it", "host_key")
        return Order(
            address=self.host,
            port=self.ssh_port,
            user=self.ssh_user,
            key=self.ssh_key,
            label=(self.label or "").strip(),
            name=self.name,
            tags=tuple(self.tags or ()),
            server=self.server,
            host_key=self.host_key,
            alone=self.scope == "user",
            self_update=self.self_update,
        )


class Deployed(Struct):
    """key: the agent's, shown only now. host_key: fingerprint of the machine's."""

    agent_id: str
    key: str
    deployment_id: int
    host_key: str
    status: Literal["deployed"] = "deployed"


class DeploymentView(Struct):
    """error: why it failed. code: the same for programs, where they can do something about it: ``unknown_host_key``,
    ``changed_host_key`` or ``known_host``."""

    id: int
    host: str
    ssh_user: str
    ssh_port: int
    label: str
    by: str
    status: Status
    steps: list[Step]
    error: str
    code: str
    host_key: str
    agent_id: str
    name: str
    created: float
    finished: float | None


class Begun(Struct):
    id: int


class HostKeyQuery(Struct):
    port: Port = 22


def view(deployment: Deployment) -> DeploymentView:
    host = deployment.host
    return DeploymentView(
        id=deployment.id,
        host=deployment.address,
        ssh_user=deployment.ssh_user,
        ssh_port=deployment.port,
        label=deployment.label,
        by=deployment.author,
        status=deployment.status,
        steps=deployment.steps,
        error=deployment.error,
        code=deployment.code,
        host_key=deployment.host_key,
        agent_id=host.agent_id if host is not None else "",
        name=host.name if host is not None else "",
        created=deployment.created,
        finished=deployment.finished,
    )


async def deploy(call: Call) -> Deployed:
    """Install an agent and answer when it has reported."""
    deployments = call.parts.deployments
    deployment = await _start(call)
    await deployments.ended(deployment)
    host = deployment.host
    if deployment.status == "done" and host is not None:
        return Deployed(host.agent_id, deployment.key, deployment.id, deployment.host_key)
    body = {"error": deployment.error, "deployment_id": deployment.id, "step": deployment.failed_step}
    if deployment.code:
        raise Worded(409, body | {"code": deployment.code, "host_key": deployment.host_key})
    raise Worded(502, body)


async def create(call: Call) -> Begun:
    return Begun((await _start(call)).id)


async def index(call: Call) -> list[DeploymentView]:
    return [view(deployment) for deployment in call.parts.deployments.recent()]


async def show(call: Call) -> DeploymentView:
    return view(_named(call))


async def stream(call: Call) -> web.StreamResponse:
    return await sse.serve(call, _events(call, _named(call)))


async def cancel(call: Call) -> schemas.Done:
    deployment = _named(call)
    call.parts.deployments.cancel(deployment)
    call.parts.audit.note(
        call.entry("deploy.cancel", f"machine {deployment.address}", detail=f"deployment {deployment.id}")
    )
    return schemas.Done()


async def forget_host_key(call: Call) -> schemas.Done:
    machine, query = call.path["machine"], call.query
    assert isinstance(query, HostKeyQuery)
    entry = call.entry("deploy.forget_host_key", f"machine {machine}"[:300])
    await call.parts.deployments.forget_host_keys(machine, query.port, entry)
    return schemas.Done()


async def _start(call: Call) -> Deployment:
    body = call.body
    assert isinstance(body, NewDeployment)
    detail = f"as {body.ssh_user}, port {body.ssh_port}" + (f", label {body.label}" if body.label else "")
    entry = call.entry("deploy", f"machine {body.host}"[:300], detail=detail)
    return await call.parts.deployments.start(body.order(), entry)


def _named(call: Call) -> Deployment:
    wanted = call.path["id"]
    if not (wanted.isascii() and wanted.isdecimal() and len(wanted) < 19):
        raise NotFound(f"Deployment '{wanted}' not found")
    return call.parts.deployments.get(int(wanted))


async def _events(call: Call, deployment: Deployment) -> AsyncGenerator[sse.Event]:
    async for state in call.parts.deployments.watch(deployment):
        yield sse.Event(msgspec.json.encode(view(state)).decode(), "deployment", str(state.version))


def _is_machine(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _MACHINE.fullmatch(text) is not None
    return True
