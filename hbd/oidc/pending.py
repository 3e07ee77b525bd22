"""Sign-ins that were begun and have not come back yet. They live in memory: a restart forgets them."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from msgspec import Struct

from hbd.oidc.metadata import Metadata

FLOW_SECONDS = 600.0
MAX_FLOWS = 1_000


class Flow(Struct, frozen=True):
    """One sign-in under way. browser: digest of the value that only the browser has which began it."""

    browser: bytes
    nonce: str
    verifier: str
    metadata: Metadata
    next_path: str
    begun: float

    def is_of(self, browser: str) -> bool:
        return hmac.compare_digest(self.browser, digest(browser))


class Pending:
    """Bounded in time and number; the oldest go first. Each is found once."""

    def __init__(self) -> None:
        self._flows: dict[bytes, Flow] = {}  # by digest of state, oldest first

    def __len__(self) -> int:
        return len(self._flows)

    def add(self, flow: Flow) -> str:
        """Its state."""
        while self._flows and (len(self._flows) >= MAX_FLOWS or self._is_over(self._oldest(), flow.begun)):
            del self._flows[next(iter(self._flows))]
        state = random_text()
        self._flows[digest(state)] = flow
        return state

    def take(self, state: str, now: float) -> Flow | None:
        """None when there is none, or no longer."""
        flow = self._flows.pop(digest(state), None)
        return None if flow is None or self._is_over(flow, now) else flow

    def _oldest(self) -> Flow:
        return next(iter(self._flows.values()))

    @staticmethod
    def _is_over(flow: Flow, now: float) -> bool:
        return now - flow.begun >= FLOW_SECONDS


def random_text() -> str:
    """43 url-safe characters, 256 bits."""
    return secrets.token_urlsafe(32)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
