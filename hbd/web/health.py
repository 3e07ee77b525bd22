"""How the daemon itself is doing."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from hbd.web import schemas
from hbd.web.call import Body, Call
from hbd.web.metrics import OPENMETRICS, TEXT, exposition


class Health(Struct):
    status: str = "ok"


class Readiness(Struct):
    """problems: why the daemon cannot do its work now, in words; empty when it can."""

    ready: bool
    problems: list[str]
    error: str | None = None


async def healthz(call: Call) -> Health:
    return Health()


async def readyz(call: Call) -> Readiness | Body:
    problems = call.parts.unready()
    if not problems:
        return Readiness(True, [])
    return Body(
        msgspec.json.encode(Readiness(False, problems, "; ".join(problems))), status=503, headers={"Retry-After": "5"}
    )


async def status(call: Call) -> schemas.Status:
    return call.parts.status()


async def metrics(call: Call) -> Body:
    openmetrics = "application/openmetrics-text" in call.request.headers.get("Accept", "")
    text = await exposition(call.parts, call.identity, openmetrics=openmetrics)
    return Body(text.encode(), media=OPENMETRICS if openmetrics else TEXT, headers={"Vary": "Accept"})
