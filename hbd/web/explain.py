"""Why a metric has the level that it has, over HTTP."""

from __future__ import annotations

import time
from typing import Annotated

from msgspec import Meta, Struct

from hbd.access import Action, may
from hbd.explanation import Explanation
from hbd.web.call import Call
from hbd.web.errors import require


class ExplainQuery(Struct):
    host: Annotated[str, Meta(description="Whose metric.")]
    metric: Annotated[str, Meta(min_length=1, max_length=1000, description="Its `metric_path`.")]
    at: Annotated[Annotated[float, Meta(ge=0, le=1e11)] | None, Meta(description="Unix seconds; left out: now.")] = None


async def show(call: Call) -> Explanation:
    query: ExplainQuery = call.query
    host = call.parts.hosts.require(query.host)
    require(may(call.identity, Action.VIEW, host))
    names = {spec.name for spec in call.parts.channels.visible(call.identity)}
    all_of_them = may(call.identity, Action.ADMIN).allowed  # those that are gone too
    return await call.parts.explainer.explain(
        host, query.metric, query.at, time.time(), lambda channel: all_of_them or channel in names
    )
