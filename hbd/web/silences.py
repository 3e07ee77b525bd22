"""Silences over HTTP."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from hbd.accounts.shown import check_texts
from hbd.errors import InvalidInput, NotFound
from hbd.hushes import Silence
from hbd.model import Level
from hbd.web import schemas
from hbd.web.call import Call
from hbd.web.errors import require
from hbd.web.scope import Scope, Sight, matcher, may_hold_back, refresh, seconds

LONGEST = 366 * 86_400.0  # from now to the end
MOST_ENDED = 500
_BAD = {"UNKNOWN": Level.UNKNOWN, "WARNING": Level.WARNING, "CRITICAL": Level.CRITICAL}


class NewSilence(Scope, kw_only=True):
    """Either ends (Unix seconds) or duration (seconds, or a text such as ``2h``, from its start) is needed.

    starts: Unix seconds; null: now. levels: those that it is about; none: all.
    """

    levels: Annotated[list[Literal["UNKNOWN", "WARNING", "CRITICAL"]], Meta(max_length=3)] = field(default_factory=list)
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    starts: float | None = None
    ends: float | None = None
    duration: float | Annotated[str, Meta(max_length=20)] | None = None


class SilencesQuery(Struct):
    all: Annotated[bool, Meta(description=f"Also the last {MOST_ENDED} that ended.")] = False


async def index(call: Call) -> list[schemas.Silence]:
    query: SilencesQuery = call.query
    return await listed(call, MOST_ENDED if query.all else 0)


async def listed(call: Call, most_ended: int = 0) -> list[schemas.Silence]:
    """Those that the caller may see, the next to end first; then the last that ended, the newest end first."""
    now, hushing, sight = time.time(), call.parts.hushing, Sight(call)
    found = hushing.silences(now)
    if most_ended:
        found += await hushing.ended_silences(now, most_ended)
    return [schemas.Silence(**_words(call, sight, one, now)) for one in found if sight.shows(one.matcher)]


async def create(call: Call) -> schemas.ChangedSilence:
    body, now = call.body, time.time()
    assert isinstance(body, NewSilence)
    check_texts(reason=body.reason)
    if not body.reason.strip():
        raise InvalidInput("is needed", "reason")
    about = matcher(body, [_BAD[level] for level in body.levels])
    require(may_hold_back(call, about))
    starts, ends = _span(body, now)
    silence = Silence(
        id=0,
        matcher=about,
        reason=body.reason.strip(),
        author=call.identity.name,
        created=now,
        starts=starts,
        ends=ends,
    )
    told = "; ".join(f"{name}: {', '.join(texts)}" for name, texts in _lists(silence).items() if texts)
    entry = call.entry("silence.create", detail=f"for {ends - starts:.0f} s; {told}; {silence.reason}"[:1000])
    made = await call.parts.hushing.add_silence(silence, entry, now)
    refresh(call, about)
    return schemas.ChangedSilence(**_words(call, Sight(call), made, now))


async def end(call: Call) -> schemas.Done:
    """It stays on the list of all until it is old."""
    silence, now = _named(call), time.time()
    require(may_hold_back(call, silence.matcher))
    entry = call.entry("silence.end", f"silence {silence.id}", detail=silence.reason)
    await call.parts.hushing.end_silence(silence.id, entry, now)
    refresh(call, silence.matcher)
    return schemas.Done()


def _named(call: Call) -> Silence:
    """The silence in the path, if the caller may know of it."""
    text = call.path["id"]
    if text.isascii() and text.isdigit() and len(text) < 19:
        silence = call.parts.hushing.silence(int(text))
        if Sight(call).shows(silence.matcher):
            return silence
    raise NotFound(f"Silence '{text}' not found")


def _span(body: NewSilence, now: float) -> tuple[float, float]:
    """From when to when. Raises InvalidInput."""
    starts = now if body.starts is None else max(body.starts, now)
    if (body.ends is None) is (body.duration is None):
        raise InvalidInput("either this or duration is needed, and not both", "ends")
    ends = body.ends if body.ends is not None else starts + seconds(body.duration or 0.0)
    field = "ends" if body.ends is not None else "duration"
    if not ends > starts:
        raise InvalidInput("it would be over before it begins", field)
    if not ends <= now + LONGEST:
        raise InvalidInput("at most a year from now", field)
    return starts, ends


def _lists(silence: Silence) -> dict[str, tuple[str, ...]]:
    about = silence.matcher
    return {"hosts": about.hosts, "tags": about.tags, "metrics": about.metrics, "levels": about.levels}


def _words(call: Call, sight: Sight, silence: Silence, now: float) -> dict[str, Any]:
    return {name: list(texts) for name, texts in _lists(silence).items()} | {
        "id": silence.id,
        "hosts": sight.hosts(silence.matcher),
        "reason": silence.reason,
        "author": silence.author,
        "created": silence.created,
        "starts": silence.starts,
        "ends": silence.ends,
        "state": silence.state(now),
        "editable": may_hold_back(call, silence.matcher).allowed,
    }
