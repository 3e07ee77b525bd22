"""Signing in: with a password and perhaps a second factor, or on the word of somebody who is trusted with it."""

from __future__ import annotations

import hmac
import secrets
import time
from typing import Any, NamedTuple

from hbd.accounts import Accounts, Method, User, token_hash
from hbd.attempts import Attempts
from hbd.audit import Audit
from hbd.errors import HbdError, TooMany
from hbd.model import LONGEST_USER_NAME
from hbd.passwords import Passwords, cost
from hbd.second_factor import used_by
from hbd.store.audit import Entry

TICKET_SECONDS = 300.0
MAX_TICKETS = 1_000
WRONG = "Wrong user name or password"
WRONG_CODE = "This code is wrong, or was used already"


class SignInRefused(HbdError):
    """Whoever it is does not get in."""


class SecondFactorWanted(HbdError):
    """The password was right. ticket: shown with the code, it stands for the password for some minutes."""

    def __init__(self, ticket: str) -> None:
        super().__init__("Enter the code of your second factor")
        self.ticket = ticket


class Visitor(NamedTuple):
    """Where somebody signs in from."""

    address: str
    user_agent: str


class SignedIn(NamedTuple):
    token: str
    user: User
    expires: float


class _Ticket(NamedTuple):
    user_id: int
    password: bytes
    expires: float


class SignIn:
    def __init__(self, accounts: Accounts, passwords: Passwords, attempts: Attempts, audit: Audit) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._attempts = attempts
        self._audit = audit
        self._tickets: dict[bytes, _Ticket] = {}
        self.setup_token = secrets.token_urlsafe(32)
        """whoever has it may make the first user, as long as there never was one"""

    def know(self) -> None:
        """Learn from the accounts as they are now: which costs their hashes have, where they signed in from."""
        self._passwords.learn({cost(user.password) for user in self._accounts.everyone() if user.password})

    def remember(self) -> None:
        """After a start: addresses that are signed in are not strangers to their accounts."""
        for name, address in self._accounts.signed_in_from():
            self._attempts.succeeded(name, address)

    async def password(self, name: str, password: str, code: str, visitor: Visitor) -> SignedIn:
        """Sign in. code: of the second factor, "" when none was given.

        Raises SignInRefused, SecondFactorWanted, TooMany, InvalidInput for a password that cannot be one, Busy.
        """
        name = name[: LONGEST_USER_NAME + 1]  # nobody's name stays nobody's
        self.require_patience(name, visitor)
        user = self._accounts.get(name)
        hashed = user.password if user is not None and user.enabled else None
        right = await self._passwords.check(
            password, hashed, name=name, address=visitor.address, first=lambda: self.require_patience(name, visitor)
        )
        if user is None or not right:
            raise self._failed(name, user, visitor, WRONG)
        return await self._second_step(user, code, visitor)

    async def code(self, ticket: str, code: str, visitor: Visitor) -> SignedIn:
        """The second step of a sign-in, with what ``SecondFactorWanted`` carried."""
        found = self._tickets.get(token_hash(ticket))
        user = self._accounts.by_id(found.user_id) if found is not None else None
        if found is None or user is None or time.time() > found.expires or user.password != found.password:
            raise SignInRefused("That took too long; begin again")
        self.require_patience(user.name, visitor)
        return await self._second_step(user, code, visitor)

    async def _second_step(self, user: User, code: str, visitor: Visitor) -> SignedIn:
        used: dict[str, Any] = {}
        if user.totp is not None:
            if not code:
                raise SecondFactorWanted(self._ticket(user))
            found = used_by(user, code, time.time())
            if found is None:
                raise self._failed(user.name, user, visitor, WRONG_CODE)
            used = found
        return await self.trusted(user, "password", visitor, "with a recovery code" if "recovery" in used else "", used)

    async def trusted(
        self, user: User, method: Method, visitor: Visitor, detail: str = "", used: dict[str, Any] | None = None
    ) -> SignedIn:
        """Sign in somebody who has proven to be that user."""
        if not user.enabled:
            raise SignInRefused("This account is disabled")
        now = time.time()
        entry = Entry(
            time=now,
            user=user.name,
            via="session",
            address=visitor.address,
            action="login",
            object=f"user {user.name}",
            detail=detail or method,
        )
        token = await self._accounts.sign_in(
            user, method, entry, address=visitor.address, user_agent=visitor.user_agent, **(used or {})
        )
        self._attempts.succeeded(user.name, visitor.address)
        return self._signed_in(token, now)

    def _signed_in(self, token: str, now: float) -> SignedIn:
        credential = self._accounts.credential(token, now)
        assert credential is not None and credential.session is not None
        return SignedIn(token, credential.user, credential.session.expires)

    def opens_setup(self, token: str) -> bool:
        """Whether this is the token of the setup link, and the link still leads anywhere."""
        same = hmac.compare_digest(token.encode(errors="replace"), self.setup_token.encode())
        return same and not self._accounts.setup_done

    async def set_up(self, name: str, password: str, visitor: Visitor) -> SignedIn:
        """Make the first user, an admin, and sign it in. Raises Conflict once there was one."""
        hashed = await self._passwords.hash(password)
        now = time.time()
        entry = Entry(
            time=now,
            user=name,
            via="none",
            address=visitor.address,
            action="setup",
            object=f"user {name}",
            detail="the first admin, by the setup link",
        )
        token = await self._accounts.set_up(name, hashed, entry, address=visitor.address, user_agent=visitor.user_agent)
        return self._signed_in(token, now)

    async def confirm(self, user: User, password: str, visitor: Visitor) -> bool:
        """Whether it is the user's password, asked for again before something that matters; guesses are limited too."""
        self.require_patience(user.name, visitor)
        right = await self._passwords.check(
            password,
            user.password,
            name=user.name,
            address=visitor.address,
            first=lambda: self.require_patience(user.name, visitor),
        )
        if not right:
            self.count_failure(user.name, visitor)
        return right

    def count_failure(self, name: str, visitor: Visitor) -> None:
        """Somebody failed to prove who they are. The name may be nobody's."""
        if not self._attempts.failed(name, visitor.address, time.monotonic()):
            return
        self._audit.note(
            Entry(
                time=time.time(),
                user="",
                via="daemon",
                address=visitor.address,
                action="login.limit",
                object=_object(self._accounts.get(name)),
                detail="too many wrong attempts; more are refused for a while",
            )
        )

    def require_patience(self, name: str, visitor: Visitor) -> None:
        """Raises TooMany for whoever has guessed too often."""
        if (wait := self._attempts.wait(name, visitor.address, time.monotonic())) > 0:
            raise TooMany("Too many wrong attempts; try again later", wait)

    def _failed(self, name: str, user: User | None, visitor: Visitor, reason: str) -> SignInRefused:
        self._audit.note(
            Entry(
                time=time.time(),
                user=user.name if user is not None else "",
                via="none",
                address=visitor.address,
                action="login",
                object=_object(user),
                outcome="failed",
                detail=_why(user, reason),
            )
        )
        self.count_failure(name, visitor)
        return SignInRefused(reason)

    def _ticket(self, user: User) -> str:
        now = time.time()
        self._tickets = {key: ticket for key, ticket in self._tickets.items() if ticket.expires > now}
        while len(self._tickets) >= MAX_TICKETS:
            del self._tickets[next(iter(self._tickets))]
        text = secrets.token_urlsafe(32)
        assert user.password is not None
        self._tickets[token_hash(text)] = _Ticket(user.id, user.password, now + TICKET_SECONDS)
        return text


def _why(user: User | None, reason: str) -> str:
    """Why somebody did not get in, for the audit log alone; they themselves are not told which accounts there are."""
    if user is not None and not user.enabled:
        return "the account is disabled"
    if user is not None and user.password is None:
        return "the account has no password; it signs in elsewhere"
    return "wrong code" if reason == WRONG_CODE else "wrong password"


def _object(user: User | None) -> str:
    """A name nobody has is not written down: it may be a password in the wrong field."""
    return f"user {user.name}" if user is not None else "a user nobody knows"
