"""The form that a file is uploaded with: its fields, and the file as it comes, never whole in memory.

Fields before the file are known when it comes. A form that names the destination only after the file is taken too: the
file then goes to this machine's disk first.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from aiohttp import BodyPartReader, MultipartReader, web

from hbd.errors import InvalidInput, StorageError, TooLarge, TooMany
from hbd.web.errors import Unsupported

CHUNK_BYTES = 64 << 10
FIELD_BYTES = 4096
MOST_PARTS = 20
MOST_STORED = 2  # times the largest file, of all files together that came before their destination
RETRY_SECONDS = 5.0
FORM_BYTES = 64 << 10  # of a body beside the file
TEMPORARY = Path("/var/tmp")  # noqa: S108 - on a disk, where /tmp may be memory; what is made there has no name
_TEXTS = ("dest", "upload")
_NUMBERS = ("offset", "total")
_BROKEN = (ValueError, AssertionError, EOFError, RuntimeError, LookupError)
"""what aiohttp raises for a form that cannot be read"""


@dataclass
class UploadForm:
    """name: what the file is called by whoever sends it. total: bytes of the whole file, None when this is all of it.

    size: of what is sent now, None as long as it comes.
    """

    dest: str
    name: str
    chunks: AsyncIterator[bytes]
    upload: str = ""
    offset: int = 0
    total: int | None = None
    size: int | None = None


@asynccontextmanager
async def upload_form(request: web.Request, most: int) -> AsyncIterator[UploadForm]:
    """most: bytes of the file. Raises Unsupported, InvalidInput, TooLarge, TooMany, StorageError; ``chunks`` too."""
    if request.content_type != "multipart/form-data":
        raise Unsupported("The body must be multipart/form-data")
    if request.content_length is not None and request.content_length > most + FORM_BYTES:
        raise TooLarge(f"limits.max_upload_bytes is {most}")
    fields: dict[str, Any] = {}
    async with AsyncExitStack() as kept:
        try:
            parts = await request.multipart()
            file = await _read_fields(parts, fields)
            if file is None:
                raise InvalidInput("is needed", "file")
            chunks, name = _chunks(file, most), file.filename or ""
            if "dest" in fields:
                chunks = _and_then_nothing(chunks, parts)
            else:
                stored = kept.enter_context(request.app[STORE].place(most))
                await stored.take(chunks)
                fields["size"] = stored.size
                if await _read_fields(parts, fields) is not None:
                    raise InvalidInput("one at a time", "file")
                chunks = stored.chunks()
        except _BROKEN as error:
            raise _unreadable(error) from None
        if "dest" not in fields:
            raise InvalidInput("is needed: where the file is to go", "dest")
        yield UploadForm(name=name, chunks=chunks, **fields)


async def _read_fields(parts: MultipartReader, fields: dict[str, Any]) -> BodyPartReader | None:
    """The fields up to the file, which is left to be read; None when it does not come."""
    for _ in range(MOST_PARTS):
        part = await parts.next()
        if part is None:
            return None
        if not isinstance(part, BodyPartReader):
            raise InvalidInput("The form has a form in it")
        if part.name == "file":
            return part
        await _read_field(part, fields)
    raise InvalidInput(f"The form has more than {MOST_PARTS} parts")


async def _read_field(part: BodyPartReader, fields: dict[str, Any]) -> None:
    name = part.name or ""
    if name not in (*_TEXTS, *_NUMBERS):
        raise InvalidInput("there is no such field; known here: dest, upload, offset, total, file", name[:100])
    if name in fields:
        raise InvalidInput("given more than once", name)
    value = bytearray()
    while chunk := await part.read_chunk(FIELD_BYTES):
        value += chunk
        if len(value) > FIELD_BYTES:
            raise InvalidInput(f"longer than {FIELD_BYTES} bytes", name)
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise InvalidInput("is no UTF-8", name) from None
    if name in _TEXTS:
        fields[name] = text
    elif text.isascii() and text.isdecimal() and len(text) <= 15:
        fields[name] = int(text)
    else:
        raise InvalidInput("a whole number is needed", name)


async def _chunks(part: BodyPartReader, most: int) -> AsyncIterator[bytes]:
    size = 0
    while True:
        try:
            chunk = await part.read_chunk(CHUNK_BYTES)
        except _BROKEN as error:
            raise _unreadable(error) from None
        if not chunk:
            return
        size += len(chunk)
        if size > most:
            raise TooLarge(f"limits.max_upload_bytes is {most}")
        yield bytes(chunk)


async def _and_then_nothing(chunks: AsyncIterator[bytes], parts: MultipartReader) -> AsyncIterator[bytes]:
    """The file, once it is sure that it ended as it should: a body that is cut off looks like one that is complete."""
    async for chunk in chunks:
        yield chunk
    try:
        more = await parts.next()
    except _BROKEN as error:
        raise _unreadable(error) from None
    if more is not None:
        raise InvalidInput("comes before the file, which is the last", getattr(more, "name", "") or "")


def _unreadable(error: Exception) -> InvalidInput:
    return error if isinstance(error, InvalidInput) else InvalidInput("The form cannot be read")


# -------------------------------------------------------------------------------------------- when the file comes first


class Store:
    """The files of one application that wait on the disk for their destination."""

    def __init__(self) -> None:
        self._waiting: set[Stored] = set()

    @contextmanager
    def place(self, most: int) -> Iterator[Stored]:
        """Room for one more file as long as the block runs. most: bytes of one file."""
        folder = None if os.environ.get("TMPDIR") or not TEMPORARY.is_dir() else TEMPORARY
        with tempfile.TemporaryFile(dir=folder) as file:
            stored = Stored(file, lambda: MOST_STORED * most - sum(one.size for one in self._waiting))
            self._waiting.add(stored)
            try:
                yield stored
            finally:
                self._waiting.discard(stored)


class Stored:
    """size: bytes that are here."""

    def __init__(self, file: IO[bytes], room: Callable[[], int]) -> None:
        """room: bytes that may still come, of all files together."""
        self.size = 0
        self._file = file
        self._room = room

    async def take(self, chunks: AsyncIterator[bytes]) -> None:
        """Raises TooMany, StorageError, and what ``chunks`` does."""
        try:
            async for chunk in chunks:
                if len(chunk) > self._room():
                    raise TooMany("Too many files that name their destination last are coming in", RETRY_SECONDS)
                self.size += len(chunk)
                await asyncio.to_thread(self._file.write, chunk)
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            raise StorageError(f"The file cannot be kept here: {error.strerror}") from None

    async def chunks(self) -> AsyncIterator[bytes]:
        await asyncio.to_thread(self._file.seek, 0)
        while chunk := await asyncio.to_thread(self._file.read, CHUNK_BYTES):
            yield chunk


STORE: web.AppKey[Store] = web.AppKey("upload_store", Store)


def install(app: web.Application) -> None:
    """Have an application take uploads."""
    app[STORE] = Store()
