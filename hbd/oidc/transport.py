"""HTTP with the provider: bounded in time and size, never led elsewhere by a redirect or a proxy of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import aiohttp
import msgspec
from msgspec import Struct

from hbd.oidc.failure import ASK_ADMIN, SignInFailed, broken, shown

MAX_SECONDS = 10.0
MAX_BYTES = 2**20
_MAX_CONNECTIONS = 20
_JSON_TYPES = ("json", "text/plain", "application/octet-stream")  # some keys come as one of the latter two

T = TypeVar("T")


class _Refusal(Struct):
    """RFC 6749 5.2."""

    error: str
    error_description: str = ""


class Transport:
    """Asks for JSON. ``kind`` is the type to read it as, ``what`` names the answer in the log."""

    def __init__(self) -> None:
        self._http: aiohttp.ClientSession | None = None
        self._closed = False

    async def get(self, url: str, kind: type[T], what: str, *, authorization: str = "") -> T:
        return await self._ask("GET", url, kind, what, authorization)

    async def post(self, url: str, form: Mapping[str, str], kind: type[T], what: str, *, authorization: str = "") -> T:
        return await self._ask("POST", url, kind, what, authorization, form)

    async def close(self) -> None:
        self._closed = True
        if self._http is not None:
            await self._http.close()

    async def _ask(
        self, method: str, url: str, kind: type[T], what: str, authorization: str, form: Mapping[str, str] | None = None
    ) -> T:
        headers = {"Authorization": authorization} if authorization else {}
        try:
            async with self._session().request(
                method, url, headers=headers, data=form, allow_redirects=False
            ) as answer:
                body = await _read(answer, what)
        except TimeoutError:
            raise _unreachable(f"{what}: no answer within {MAX_SECONDS:g} s") from None
        except aiohttp.ClientResponseError as error:
            # Its text ends with the whole URL; after the first line of its message comes a piece of the answer.
            why, _, _ = error.message.partition("\n")
            raise _unreachable(f"{what}: no HTTP, {shown(why)}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _unreachable(f"{what}: {shown(str(error).replace(url, what)) or type(error).__name__}") from None
        if answer.status != 200:
            raise _refused(what, answer.status, body)
        if not any(known in answer.content_type for known in _JSON_TYPES):
            raise broken(f"{what}: is {shown(answer.content_type, 80)}, not JSON")
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise broken(f"{what}: {shown(str(error))}") from error

    def _session(self) -> aiohttp.ClientSession:
        if self._closed:  # by a reload, while a sign-in was under way
            raise aiohttp.ClientConnectionError("the settings have changed")
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=MAX_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Nothing is unpacked, so that the bound on size holds for what is kept as well.
                auto_decompress=False,
                headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "hbd"},
                trust_env=False,
            )
        return self._http


async def _read(answer: aiohttp.ClientResponse, what: str) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > MAX_BYTES:
            raise broken(f"{what}: larger than {MAX_BYTES // 2**20} MiB")
    return bytes(body)


def _unreachable(detail: str) -> SignInFailed:
    return SignInFailed(f"The sign-in provider cannot be reached. Try again in a moment. {ASK_ADMIN}", detail)


def _refused(what: str, status: int, body: bytes) -> SignInFailed:
    """Where the provider says why, as it must at the token endpoint, the log says it too."""
    try:
        refusal = msgspec.json.decode(body, type=_Refusal)
        why = f" {shown(refusal.error, 60)} {shown(refusal.error_description)}".rstrip()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        why = ""
    return SignInFailed(f"The sign-in provider refused. Try again. {ASK_ADMIN}", f"{what}: answered {status}{why}")
