"""Installing agents over SSH: which deployments there are, begin one, watch one, break one off.

One that failed is begun anew from the start: the host keeps its name, and its agent the key it has until there is
another one in its place.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from hbd.errors import Busy, Conflict, HbdError, NotFound, StorageError
from hbd.hosts import Host
from hbd.remote import ssh, ssh_keys
from hbd.remote.deploy_steps import Failed, Parts, Work
from hbd.remote.deployment import Deployment, Order
from hbd.store.audit import Entry
from hbd.store.deployments import KEPT

log = logging.getLogger(__name__)

AT_ONCE = 4
CLOSE_SECONDS = 1.0
CANCELLED = "it was cancelled; what the machine was doing, it may have finished"
STOPPED = "hbd was stopped meanwhile; deploy again"


class Deployments:
    """The newest ones, in memory and on disk, and those that run."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._all: dict[int, Deployment] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._settling: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()
        self._closing = False

    async def load(self) -> None:
        """Know again what was deployed. What ran when the daemon stopped has failed."""
        for number, row in await self._parts.store.all():
            host = self._parts.hosts.by_id(row.host_id) if row.host_id is not None else None
            deployment = self._all[number] = Deployment.remembered(number, row, host)
            if deployment.finished is None:
                deployment.end("failed", STOPPED)
                if deployment.lent and host is not None and deployment.step("install").status == "waiting":
                    await self._parts.enrolment.withdraw(host, deployment.lent)  # nothing was sent
                    deployment.lent = None
                await self._parts.store.save(number, deployment.row())
            await self._settle(deployment)

    async def close(self) -> None:
        """Break off what runs, within a second. The machines finish their step or put back what was there."""
        self._closing = True
        tasks = {*self._tasks.values(), *self._settling}
        for task in self._tasks.values():
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)

    def recent(self) -> list[Deployment]:
        """The newest first."""
        return list(self._all.values())[::-1]

    def get(self, number: int) -> Deployment:
        """Raises NotFound."""
        if (found := self._all.get(number)) is None:
            raise NotFound(f"Deployment '{number}' not found")
        return found

    def linked(self, host: Host) -> None:
        """The agent of a host has been welcomed."""
        for number, deployment in self._all.items():
            if deployment.host is not host:
                continue
            if number in self._tasks:
                deployment.linked.set()
            elif deployment.lent:
                task = asyncio.create_task(self._settle(deployment))
                self._settling.add(task)
                task.add_done_callback(self._settling.discard)

    async def _settle(self, deployment: Deployment) -> None:
        """When an agent has shown the key that was lent for a deployment which failed, it is the one of its host."""
        host, lent = deployment.host, deployment.lent
        if host is None or lent is None:
            return
        found = next((key for key in self._parts.enrolment.keys(host, time.time()) if key.hash == lent), None)
        if found is not None and found.used is None:
            return
        try:
            if found is not None:
                await self._parts.enrolment.settle(host, lent)
            deployment.lent = None
            await self._parts.store.save(deployment.id, deployment.row())
        except (NotFound, StorageError) as error:
            log.error("which key is the one of host %s is not on disk: %s", host.name, error)

    def forget(self, host: Host) -> None:
        """A host is gone, and what was deployed to it with it."""
        for number, deployment in list(self._all.items()):
            if deployment.host is host and number not in self._tasks:
                del self._all[number]

    async def start(self, order: Order, entry: Entry) -> Deployment:
        """Begin one.

        Raises InvalidInput for a key or an address that cannot be, Conflict when one runs to that machine, Busy when
        too many run.
        """
        if order.server:
            self._parts.whereabouts.at(order.server)
        key = await asyncio.to_thread(ssh_keys.find, ssh_keys.folder(self._parts.config()), order.key)
        async with self._starting:
            for number in self._tasks:
                if (self._all[number].address, self._all[number].port) == (order.address, order.port):
                    raise Conflict(f"an agent is just being installed there, see deployment {number}")
            if len(self._tasks) >= AT_ONCE:
                raise Busy(f"{AT_ONCE} deployments run at the moment; wait for one of them")
            deployment = Deployment(
                id=0,
                address=order.address,
                port=order.port,
                ssh_user=order.user,
                label=order.label,
                author=entry.user,
                created=entry.time,
            )
            before = next((one for one in self.recent() if one.host is not None and one.is_to(order)), None)
            deployment.id = await self._parts.store.add(deployment.row(), entry)
            self._all[deployment.id] = deployment
            for old in list(self._all)[:-KEPT]:
                del self._all[old]
            work = Work(self._parts, deployment, order, before, entry)
            self._tasks[deployment.id] = asyncio.create_task(self._run(deployment, work, key))
        return deployment

    async def ended(self, deployment: Deployment) -> None:
        """Wait for its end."""
        if (task := self._tasks.get(deployment.id)) is not None:
            await asyncio.wait({task})

    async def watch(self, deployment: Deployment) -> AsyncGenerator[Deployment]:
        """It as it is now, and again after every change; the last one is how it ended."""
        while True:
            changed, ended = deployment.changed, deployment.id not in self._tasks
            yield deployment
            if ended:
                return
            await changed.wait()

    def cancel(self, deployment: Deployment) -> None:
        """Break it off. Raises Conflict when it has ended."""
        if (task := self._tasks.get(deployment.id)) is None:
            raise Conflict("this deployment has ended already")
        task.cancel()

    async def forget_host_keys(self, address: str, port: int, entry: Entry) -> None:
        """Believe a machine anew at next sight, as one that was installed anew. Raises NotFound when none is
        recorded."""
        if not await self._parts.store.forget_host_keys(address, port, entry):
            raise NotFound(f"There is no recorded host key of {address}, port {port}")

    async def _run(self, deployment: Deployment, work: Work, key: Path) -> None:
        try:
            await work.run(key)
        except asyncio.CancelledError:
            deployment.end("cancelled", STOPPED if self._closing else CANCELLED)
        except ssh.HostKeyRefused as error:
            deployment.host_key = error.fingerprint
            deployment.end("failed", str(error), error.code)
        except Failed as error:
            deployment.end("failed", str(error), error.code)
        except HbdError as error:
            deployment.end("failed", str(error))
        except Exception:
            log.exception("deployment %d failed", deployment.id)
            deployment.end("failed", "an internal error; the log of hbd has more")
        else:
            deployment.end("done")
        try:
            await work.tidy()
            detail = f"deployment {deployment.id}: {deployment.error or 'the agent has connected'}"
            done = deployment.status == "done"
            entry = work.told("deploy.end", f"machine {deployment.address}", detail, done=done)
            await self._parts.store.save(deployment.id, deployment.row(), entry)
        except NotFound:
            pass  # somebody was faster in removing the host
        except StorageError as error:
            log.error("the end of deployment %d is not on disk: %s", deployment.id, error)
        finally:
            del self._tasks[deployment.id]
            deployment.touch()
