"""Everybody who may sign in, and what they sign in with: sessions and API tokens.

``model`` is what there is of each, ``overlay`` how the config and the store make one user, ``keys`` and ``known`` hold
all of it in memory, ``register`` changes it.
"""

from __future__ import annotations

from hbd.accounts.model import ApiToken, Credential, Method, Outsider, Session, User, token_hash
from hbd.accounts.register import Accounts, Leave, Stays

__all__ = [
    "Accounts",
    "ApiToken",
    "Credential",
    "Leave",
    "Method",
    "Outsider",
    "Session",
    "Stays",
    "User",
    "token_hash",
]
