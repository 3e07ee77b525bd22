"""Files on their way to a host, whole or in parts; they go through, at the pace of the slower side."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated

from msgspec import Meta, Struct

from hbd.errors import AgentFailed, Conflict, InvalidInput, TooLarge
from hbd.remote.streams import OFFLINE, TAKING_SECONDS, Stream, checked
from hbd.web import trail
from hbd.web.auth import ask_again
from hbd.web.call import Call
from hbd.web.files import while_allowed
from hbd.web.upload_form import UploadForm, upload_form

_UPLOAD = re.compile(r"[A-Za-z0-9_-]{8,64}")

_Path = Annotated[str, Meta(min_length=1, max_length=4096)]


class UploadQuery(Struct):
    upload: Annotated[str, Meta(max_length=64, description="The id that was given with the upload.")]
    dest: Annotated[_Path, Meta(description="Full path of the file that is uploaded.")]


class Uploaded(Struct):
    """path: where it went. bytes: taken now; size: that are there. done: whether it is complete and in its place."""

    path: str
    bytes: int
    size: int
    total: int | None
    done: bool


class Arrived(Struct):
    """offset: bytes that are there, and with which the next part begins."""

    upload: str
    offset: int


class _Ready(Struct):
    path: Annotated[str, Meta(max_length=5000)]
    offset: Annotated[int, Meta(ge=0)]


async def upload(call: Call) -> Uploaded:
    with call.parts.streams.place(call.identity.name):
        if not call.host.link:  # known before the first byte is read, and maybe kept here
            raise Conflict(OFFLINE)
        async with upload_form(call.request, call.parts.config.limits.max_upload_bytes) as form:
            return await _upload(call, form)


async def _upload(call: Call, form: UploadForm) -> Uploaded:
    _check(form, call.parts.config.limits.max_upload_bytes)
    ask_again(call)  # where the file came before its destination, that took its time
    params = {
        "dest": form.dest,
        "name": form.name,
        "offset": form.offset,
        "size": form.total or form.size or 0,
        "key": _key(call, form.upload) if form.upload else "",
    }
    told = f"{form.dest} ({form.name})" if form.name else form.dest
    async with (
        trail.trail(call, "file.upload", "file.uploaded", told) as left,
        call.parts.streams.connection(call.host, "upload", params) as agent,
    ):
        ready = checked(await agent.expect("ready"), _Ready)
        sent = await _hand_on(call, form, agent, left)
        size = form.offset + sent
        done = form.total is None or size == form.total
        await agent.say("end" if done else "keep")
        await agent.expect("done", TAKING_SECONDS)
        if not done:
            left.told += ", more to come"
        return Uploaded(ready.path, sent, size, form.total, done)


def _check(form: UploadForm, most: int) -> None:
    if not form.dest or len(form.dest) > 4096:
        raise InvalidInput("is needed: where the file is to go", "dest")
    if form.upload and not _UPLOAD.fullmatch(form.upload):
        raise InvalidInput("8-64 letters, digits, - and _ can be used", "upload")
    if not form.upload and (form.offset or form.total is not None):
        raise InvalidInput("is needed to send a file in parts", "upload")
    if form.total is not None and form.total > most:
        raise TooLarge(f"limits.max_upload_bytes is {most}")


async def _hand_on(call: Call, form: UploadForm, agent: Stream, left: trail.Trail) -> int:
    """Give the agent the file as it comes; how many bytes that were."""
    sent, left.told = 0, "0 bytes"
    async with while_allowed(call):
        async for chunk in form.chunks:
            if form.total is not None and form.offset + sent + len(chunk) > form.total:
                raise InvalidInput("the file has more bytes than that", "total")
            await agent.send(chunk)
            sent += len(chunk)
            left.told = f"{sent} bytes"
    ask_again(call)
    return sent


async def arrived(call: Call) -> Arrived:
    query: UploadQuery = call.query
    if not _UPLOAD.fullmatch(query.upload):
        raise InvalidInput("8-64 letters, digits, - and _ can be used", "upload")
    params = {"dest": query.dest, "key": _key(call, query.upload)}
    async with call.parts.streams.open(call.host, "arrived", params, call.identity.name) as agent:
        offset = (await agent.expect("arrived")).get("offset")
    if not isinstance(offset, int):
        raise AgentFailed("The agent does not say how much has arrived")
    return Arrived(query.upload, offset)


def _key(call: Call, upload: str) -> str:
    """What the agent calls an upload that is incomplete. It is the user's own: nobody else can go on with it."""
    return hashlib.sha256(f"{call.identity.name}\0{upload}".encode()).hexdigest()[:32]
