"""What is done on a host from here, in the audit log: once before it begins, and once when it has ended."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hbd.errors import Forbidden, HbdError
from hbd.store.audit import Outcome
from hbd.web.call import Call
from hbd.web.errors import printable

MOST_DETAIL = 5_000  # characters: the longest path, the longest name, and what came of it
_NOTHING = re.compile(r"/(?:\.?/)+|/\.(?=$| \()")


@dataclass
class Trail:
    """told: what has come of it so far, in words."""

    told: str = ""


async def begins(call: Call, action: str, detail: str) -> None:
    """Write down that something is about to be done. Raises StorageError, and then it must not be."""
    await call.parts.store.audit.add(
        [call.entry(action, f"host {call.host.name}", detail=printable(_plain(detail), MOST_DETAIL))]
    )


@asynccontextmanager
async def trail(call: Call, action: str, ended: str, detail: str) -> AsyncIterator[Trail]:
    """Around something that takes its time. action, ended: what it is called when it begins and when it has ended.

    Raises StorageError before it begins.
    """
    name = f"host {call.host.name}"  # the host may be gone by the end
    await begins(call, action, detail)
    left = Trail()
    outcome: Outcome = "failed"
    why = "the connection broke"
    try:
        yield left
        outcome, why = "done", ""
    except HbdError as error:
        outcome, why = "refused" if isinstance(error, Forbidden) else "failed", str(error)
        raise
    finally:
        words = ": ".join(filter(None, (_plain(detail), ", ".join(filter(None, (left.told, why))))))
        call.parts.audit.note(call.entry(ended, name, outcome=outcome, detail=printable(words, MOST_DETAIL)))


def _plain(detail: str) -> str:
    """With paths as the agent takes them: a slash or a dot more pushes nothing out of the log."""
    return _NOTHING.sub("/", detail)
