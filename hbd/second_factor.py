"""Setting up the second factor of a user, and using it."""

from __future__ import annotations

import hmac
import time
from typing import Any, NamedTuple

from hbd import totp
from hbd.accounts import Accounts, User
from hbd.errors import Conflict, InvalidInput
from hbd.store.audit import Entry

OFFER_SECONDS = 600.0
MAX_OFFERS = 1_000
ISSUER = "hbd"


class Offer(NamedTuple):
    """What an authenticator app is given. qr: an SVG document."""

    secret: str
    uri: str
    qr: str


class SecondFactors:
    """Offers that were made and not taken yet are in memory alone."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._offers: dict[int, tuple[str, float]] = {}

    def offer(self, user: User, now: float) -> Offer:
        """Begin to set it up. Raises Conflict when the user has one."""
        if user.totp is not None:
            raise Conflict("There is a second factor already; remove it first")
        self._offers.pop(user.id, None)
        while len(self._offers) >= MAX_OFFERS:
            del self._offers[next(iter(self._offers))]
        secret = totp.new_secret()
        self._offers[user.id] = secret, now + OFFER_SECONDS
        uri = totp.uri(secret, user.name, ISSUER)
        return Offer(secret, uri, totp.qr_svg(uri))

    async def take(self, user: User, code: str, entry: Entry) -> list[str]:
        """Set it up with a code of the app, which proves that the app has it; returns the recovery codes.

        Raises InvalidInput for a wrong code, Conflict when nothing was offered or the user was changed meanwhile.
        """
        secret, until = self._offers.get(user.id, ("", 0.0))
        if entry.time > until:
            raise Conflict("That took too long; begin again")
        step = totp.match(secret, code, time.time(), -1)
        if step is None:
            raise InvalidInput("this code is not of that secret; is the clock of the phone right?", "code")
        codes = totp.new_recovery_codes()
        recovery = tuple(map(totp.recovery_hash, codes))
        fields = {"totp": secret, "totp_step": step, "recovery": recovery}
        await self._accounts.change(user, fields, entry, expecting=user)
        self._offers.pop(user.id, None)
        return codes

    async def remove(self, user: User, *entries: Entry) -> User:
        """user: as it was when that was decided. Raises Conflict when it was changed meanwhile."""
        fields = {"totp": None, "totp_step": 0, "recovery": ()}
        return await self._accounts.change(user, fields, *entries, expecting=user)


def used_by(user: User, code: str, now: float) -> dict[str, Any] | None:
    """What changes in the account when this code of its second factor is used; None for a wrong one."""
    assert user.totp is not None
    step = totp.match(user.totp, code, now, user.totp_step)
    if step is not None:
        return {"totp_step": step}
    shown = totp.recovery_hash(code)
    left = tuple(known for known in user.recovery if not hmac.compare_digest(known, shown))
    return {"recovery": left} if len(left) < len(user.recovery) else None
