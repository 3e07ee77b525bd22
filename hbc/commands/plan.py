"""What is to be done for a command, once the host's policy has let it pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from hbc.policy import Policy

Risk = Literal["low", "medium", "high"]
RISKS: tuple[Risk, ...] = ("low", "medium", "high")


class Denied(Exception):
    """The host's own policy does not allow it; the text says why."""


@dataclass(frozen=True)
class Plan:
    """argv: the program with its arguments; empty: the agent does it itself, by the name of the command.

    timeout: seconds until it is ended.
    """

    timeout: float
    argv: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """A kind of command. plan: what it comes to with these parameters; raises Denied when they cannot be used."""

    risk: Risk
    plan: Callable[[Policy, Mapping[str, Any]], Plan]
