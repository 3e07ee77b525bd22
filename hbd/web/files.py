"""What is in the folders of a host, and its files on their way out. Nothing of them is kept here; they go through, at
the pace of the slower side."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from pathlib import PurePosixPath
from typing import Annotated, Literal
from urllib.parse import quote

from aiohttp import web
from msgspec import Meta, Struct

from hbd.errors import AgentFailed, HbdError
from hbd.remote.streams import Stream, checked
from hbd.web import trail
from hbd.web.auth import ask_again
from hbd.web.call import Call

RIGHT_SECONDS = 3.0  # how soon a right that was taken away ends a transfer
MOST_ENTRIES = 10_000
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_ODD = re.compile(r'[^\w .()+,=@#-]|["\\]', re.ASCII)

_Path = Annotated[str, Meta(min_length=1, max_length=4096)]


class FileQuery(Struct):
    path: Annotated[_Path, Meta(description="Full path of the file.")]


class FolderQuery(Struct):
    path: Annotated[
        Annotated[str, Meta(max_length=4096)] | None,
        Meta(description="Full path of the folder; left out: the folders that are allowed."),
    ] = None


class Entry(Struct):
    """One name in a folder. modified: Unix seconds, 0 where it is not told. mode: octal, such as `0644`."""

    name: Annotated[str, Meta(max_length=5000)]
    type: Literal["file", "folder", "link", "other"]
    size: int = 0
    modified: int = 0
    mode: Annotated[str, Meta(max_length=8)] = ""


class Folder(Struct):
    """path: null for the list of the folders that are allowed. truncated: there is more than can be listed."""

    path: str | None
    writable: bool
    entries: list[Entry]
    truncated: bool


class _File(Struct):
    size: Annotated[int, Meta(ge=0)]
    etag: Annotated[str, Meta(pattern=r"\A[!#-~]{1,100}\Z")]
    modified: Annotated[float, Meta(ge=0, le=4e9)] = 0.0


async def folder(call: Call) -> Folder:
    path = call.query.path
    await trail.begins(call, "file.list", path or "the allowed folders")
    async with call.parts.streams.open(call.host, "list", {"path": path or ""}, call.identity.name) as agent:
        entries: list[Entry] = []
        while not isinstance(said := await agent.hear(), bytes) and said.get("type") == "entries":
            entries += checked(said.get("entries"), list[Entry])
            if len(entries) > MOST_ENTRIES:
                raise AgentFailed("The agent lists more than it may")
        if isinstance(said, bytes) or said.get("type") != "end":
            raise AgentFailed("The agent's list has no end")
        return Folder(path or None, bool(said.get("writable")), entries, bool(said.get("truncated")))


# ------------------------------------------------------------------------------------------------------------- download


@asynccontextmanager
async def while_allowed(call: Call) -> AsyncIterator[None]:
    """Ends the block when the caller loses the right to what it does, also while it waits for somebody who is slow.

    Raises what ``ask_again`` does.
    """
    loop = asyncio.get_running_loop()
    lost: HbdError | None = None
    asking: asyncio.TimerHandle | None = None

    def ask() -> None:
        nonlocal lost, asking
        try:
            ask_again(call)
        except HbdError as error:
            lost = error
            end.reschedule(loop.time())
        else:
            asking = loop.call_later(RIGHT_SECONDS, ask)

    try:
        async with asyncio.timeout(None) as end:
            asking = loop.call_later(RIGHT_SECONDS, ask)
            try:
                yield
            finally:
                asking.cancel()
    except TimeoutError:
        if lost is None:
            raise
        raise lost from None


async def download(call: Call) -> web.StreamResponse:
    path, user = call.query.path, call.identity.name
    if call.request.method == "HEAD":
        await trail.begins(call, "file.list", path)
        async with call.parts.streams.open(call.host, "download", {"path": path}, user) as agent:
            return _begun(call.request, path, checked(await agent.expect("file"), _File))[0]
    response: web.StreamResponse | None = None
    try:
        async with (
            trail.trail(call, "file.download", "file.downloaded", path) as left,
            call.parts.streams.open(call.host, "download", {"path": path}, user) as agent,
        ):
            response, offset, length = _begun(call.request, path, checked(await agent.expect("file"), _File))
            left.told = "nothing of it"
            if response.status not in (304, 416):
                await agent.say("send", offset=offset, length=length)
                await response.prepare(call.request)
                await _hand_on(call, agent, response, length, left)
            return response
    except HbdError:
        if response is None or not response.prepared:
            raise
        # The status is out already: only a connection that breaks tells that this is not all.
        _break(call.request.transport)
        raise ConnectionResetError from None


async def _hand_on(call: Call, agent: Stream, response: web.StreamResponse, length: int, left: trail.Trail) -> None:
    sent = 0
    async with while_allowed(call):
        while sent < length:
            data = await agent.hear()
            if not isinstance(data, bytes) or not 0 < len(data) <= length - sent:
                raise AgentFailed("The agent sends something else than the file")
            await response.write(data)
            sent += len(data)
            left.told = f"{sent} bytes" if sent == length else f"{sent} of {length} bytes"


def _break(transport: asyncio.Transport | None) -> None:
    """End a connection, and let go of what waits to be read by a client who may not have it any more."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):  # it is closed already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _begun(request: web.Request, path: str, file: _File) -> tuple[web.StreamResponse, int, int]:
    """The response without its body, and which part of the file is wanted: offset, length."""
    etag = f'"{file.etag}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Last-Modified": formatdate(file.modified, usegmt=True),
        "Content-Type": "application/octet-stream",
        "Content-Disposition": _disposition(PurePosixPath(path).name),
    }
    wanted = request.headers.get("If-None-Match", "")
    if wanted == "*" or etag in (part.strip().removeprefix("W/") for part in wanted.split(",")):
        return web.Response(status=304, headers={"ETag": etag}), 0, 0
    part = None
    if request.headers.get("If-Range", etag) == etag:
        part = _range(request.headers.get("Range", ""), file.size)
    if part is None:
        headers["Content-Length"] = str(file.size)
        return web.StreamResponse(headers=headers), 0, file.size
    offset, length = part
    if length <= 0:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{file.size}", "ETag": etag}), 0, 0
    headers["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{file.size}"
    headers["Content-Length"] = str(length)
    return web.StreamResponse(status=206, headers=headers), offset, length


def _range(header: str, size: int) -> tuple[int, int] | None:
    """Offset and length of the one range that is asked for; None: the whole file. A length of 0: there is none."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        return size - length, length
    begin = int(match[1])
    end = min(int(match[2]), size - 1) if match[2] else size - 1
    if match[2] and int(match[2]) < begin:
        return None
    return begin, end - begin + 1


def _disposition(name: str) -> str:
    return f"attachment; filename=\"{_ODD.sub('_', name)}\"; filename*=UTF-8''{quote(name.encode(errors='replace'))}"
