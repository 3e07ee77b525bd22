"""Sign-ins that were begun and have not come back yet. They live in memory: a restart forgets them."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from msgspec import Struct

from hbd.oidc.metadata import Metadata

FLOW_SECONDS = 600.0
MAX_FLOWS = 1_000
MAX_OF_ORIGIN = 100


class Flow(Struct, frozen=True):
    """One sign-in under way. browser: digest of the value that only the browser has which began it.

    origin: where that browser is, as far as many sign-ins from one place count together.
    """

    browser: bytes
    nonce: str
    verifier: str
    metadata: Metadata
    next_path: str
    begun: float
    origin: str = ""

    def is_of(self, browser: str) -> bool:
        return hmac.compare_digest(self.browser, digest(browser))


class Pending:
    """Bounded in time and number, for all together and for each origin. Each is found once.

    Where there is no more room, the oldest goes of the origin that has the most: nobody can push out all others.
    """

    def __init__(self) -> None:
        self._flows: dict[bytes, Flow] = {}  # by digest of state, oldest first
        self._of_origin: dict[str, dict[bytes, None]] = {}

    def __len__(self) -> int:
        return len(self._flows)

    def add(self, flow: Flow) -> str:
        """Its state."""
        while self._flows and self._is_over(self._flows[oldest := next(iter(self._flows))], flow.begun):
            self._drop(oldest)
        own = self._of_origin.get(flow.origin, {})
        if len(own) >= MAX_OF_ORIGIN:
            self._drop(next(iter(own)))
        elif len(self._flows) >= MAX_FLOWS:
            most = max(self._of_origin.values(), key=lambda flows: len(flows))
            self._drop(next(iter(most)))
        state = random_text()
        key = digest(state)
        self._flows[key] = flow
        self._of_origin.setdefault(flow.origin, {})[key] = None
        return state

    def take(self, state: str, now: float) -> Flow | None:
        """None when there is none, or no longer."""
        key = digest(state)
        flow = self._drop(key) if key in self._flows else None
        return None if flow is None or self._is_over(flow, now) else flow

    def _drop(self, key: bytes) -> Flow:
        flow = self._flows.pop(key)
        own = self._of_origin[flow.origin]
        del own[key]
        if not own:
            del self._of_origin[flow.origin]
        return flow

    @staticmethod
    def _is_over(flow: Flow, now: float) -> bool:
        return now - flow.begun >= FLOW_SECONDS


def random_text() -> str:
    """43 url-safe characters, 256 bits."""
    return secrets.token_urlsafe(32)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
