"""When a command has waited for too long, and what it ends as then. Pure."""

from __future__ import annotations

from hbd.store.commands import Command, Status

USUAL_TIMEOUT = 3600.0  # seconds that a command may take of which nothing else is known
MOST_TIMEOUT = 86_400.0
GRACE_SECONDS = 60.0  # that an agent may be late with its answer
NOT_FETCHED = "it was not delivered in time"
NO_LINK = "outcome unknown: the link was lost before the agent answered"
NO_ANSWER = "outcome unknown: the agent did not answer"


def overdue(command: Command, now: float, *, allowed: float | None, linked: bool) -> tuple[Status, str] | None:
    """What a command ends as, and why; None while there is time.

    allowed: the most seconds that its host lets a command take, None when nobody knows. linked: whether the agent that
    has it is there.
    """
    if command.status == "queued":
        return ("expired", NOT_FETCHED) if command.expires_at <= now else None
    # With us it may wait for its turn on the host, but not begin after it has expired.
    begun = command.delivered_at if command.journal is None else command.started_at or command.expires_at
    if now < (begun or 0.0) + _timeout(command, allowed) + GRACE_SECONDS:
        return None
    if command.journal is not None and not linked:
        return "failed", NO_LINK
    return "timeout", NO_ANSWER


def _timeout(command: Command, allowed: float | None) -> float:
    """The most seconds that a command may take."""
    for said in (command.params.get("timeout"), allowed):
        if isinstance(said, int | float) and not isinstance(said, bool) and said > 0:
            return float(min(said, MOST_TIMEOUT))  # a whole number may be too large for a float
    return USUAL_TIMEOUT
