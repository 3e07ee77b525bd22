"""One request of a channel over HTTP, and what its answer means."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from aiohttp import ClientConnectorCertificateError, ClientConnectorError, ClientError, ClientSSLError

from hbd import __version__
from hbd.channels.base import SendFailed, Tools, within_limit

LONGEST_WAIT = 86400.0  # of what a service may ask for
_OF_THE_MESSAGE = frozenset((400, 411, 413, 414, 415, 422, 431))
"""of 4xx: what was wrong was this message, not the address or the key"""
_LATER = frozenset((408, 425, 429))  # of 4xx: the same may be taken another time

USER_AGENT = f"hbd/{__version__}"


async def request(
    tools: Tools, url: str, body: bytes, *, method: str = "POST", headers: Mapping[str, str] | None = None
) -> str:
    """Returns the status of an answer that went well. Raises SendFailed."""
    sent = {"Content-Type": "application/json", "User-Agent": USER_AGENT, **(headers or {})}
    async with within_limit():
        try:
            async with (
                await tools.guard.session(url) as session,
                session.request(method, url, data=io.BytesIO(body), headers=sent, allow_redirects=False) as answer,
            ):
                status, asked = answer.status, answer.headers.get("Retry-After", "")
        except (ClientConnectorCertificateError, ClientSSLError):
            raise SendFailed("the server cannot be trusted (TLS)") from None
        except ClientConnectorError:
            raise SendFailed("the server cannot be reached") from None
        except TimeoutError:
            raise
        except (ClientError, OSError, ValueError):
            raise SendFailed("the connection was cut before there was an answer") from None
    judge(status, retry_after(asked, tools.clock()))
    return str(status)


def judge(status: int, wait: float | None = None) -> None:
    """Raises SendFailed for a status that does not mean success. wait: seconds that the service asked for."""
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise SendFailed(f"status {status}: redirects are not followed", permanent=True)
    permanent = 400 <= status < 500 and status not in _LATER
    raise SendFailed(f"status {status}", permanent=permanent, refused=status in _OF_THE_MESSAGE, retry_after=wait)


def retry_after(text: str, now: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks to wait, None when it asks nothing that makes sense."""
    try:
        wait = float(text) if text.strip().isdecimal() else parsedate_to_datetime(text).timestamp() - now
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(0.0, wait), LONGEST_WAIT) if math.isfinite(wait) else None
