"""A daemon with people of each role, and hosts for them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from fed import FedDaemon

BOB_AT_WEB = {"owner": "alice", "monitors": ["bob"]}


@pytest_asyncio.fixture(name="people", loop_scope="session")
async def some_people(fed: FedDaemon) -> AsyncIterator[FedDaemon]:
    """A daemon with an admin (alice), an operator (olga) and a viewer (bob), who monitors one of two hosts."""
    await fed.user("alice", "admin", full_name="Alice Example")
    await fed.user("olga", "operator")
    await fed.user("bob")
    await fed.enrol("web", **BOB_AT_WEB)
    await fed.enrol("db", owner="alice")
    yield fed
