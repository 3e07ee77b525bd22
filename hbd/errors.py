"""The kinds of error in hbd. They know no HTTP; ``web/errors.py`` alone decides how each one looks there.

HbdError
├── InvalidInput       what somebody sent is wrong; names the field and the reason
├── NotFound           there is no such thing
├── Forbidden          it exists, but it is not yours
├── Conflict           it cannot be done in the present state
├── Busy               there is no room at the moment; later there may be
├── TooMany            somebody asks too often; says when to come again
├── TooLarge           it is larger than is taken or given out
├── AgentFailed        an agent did not do what it was asked for
├── ConfigError        the configuration cannot be used; carries every problem found
└── StorageError       the database did not take or give something; never a host state
    └── StorageFull    no space left; reading still works
"""

from __future__ import annotations


class HbdError(Exception):
    """Anything that goes wrong for a reason we can name."""


class InvalidInput(HbdError):
    """What somebody sent is wrong. ``field`` is its path in the input, or "" for the whole."""

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class NotFound(HbdError):
    """There is no such thing."""


class Forbidden(HbdError):
    """It exists, but the caller may not do this with it."""


class Conflict(HbdError):
    """It cannot be done in the present state of things."""


class Busy(HbdError):
    """No room at the moment."""


class TooMany(HbdError):
    """Somebody asks too often. ``wait``: seconds until it is worth asking again."""

    def __init__(self, text: str, wait: float) -> None:
        super().__init__(text)
        self.wait = wait


class TooLarge(HbdError):
    """It is larger than is taken or given out."""


class AgentFailed(HbdError):
    """An agent could not do what it was asked for, or has not answered."""


class ConfigError(HbdError):
    """The configuration cannot be used. ``problems`` are lines ``file:line: key: reason``, in file order."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StorageError(HbdError):
    """The database did not take or give something. Whoever sent data keeps it and tries again."""


class StorageFull(StorageError):
    """No space is left for the database. Reading still works."""
