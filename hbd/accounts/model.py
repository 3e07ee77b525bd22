"""What an account, a session and an API token are."""

from __future__ import annotations

import hashlib
import secrets
from typing import Literal, NamedTuple

from msgspec import Struct

from hbd.access import Identity, Role
from hbd.store.accounts import SessionRow, TokenRow

Source = Literal["config", "local", "oidc", "proxy"]
Method = Literal["password", "oidc", "setup"]

SESSION_PREFIX, TOKEN_PREFIX = "hbs_", "hbt_"  # so that leaked ones can be found


class User(Struct, frozen=True, kw_only=True):
    """One account as it is now. password: bcrypt hash. totp: secret of the second factor. Times are Unix seconds.

    subject: whom the provider of single sign-on means; with source config or local, it was linked.
    """

    id: int
    name: str
    source: Source
    subject: str | None
    full_name: str
    avatar: str
    role: Role
    enabled: bool
    channels: tuple[str, ...]
    password: bytes | None
    totp: str | None
    totp_step: int
    recovery: tuple[bytes, ...]
    created: float
    last_login: float | None

    def __repr__(self) -> str:
        return f"User({self.name!r}, {self.role}, •••)"

    @property
    def leads(self) -> bool:
        """Whether it is an admin who can sign in."""
        return self.role is Role.ADMIN and self.enabled

    @property
    def signs_in_with(self) -> object:
        """All that decides whether it can sign in: a proof of who somebody is holds as long as this is the same."""
        return self.enabled, self.password, self.totp, self.totp_step, self.recovery


class Session(Struct, kw_only=True, eq=False):
    """Somebody who is signed in."""

    id: int
    user_id: int
    hash: bytes
    created: float
    expires: float
    last_used: float
    address: str
    user_agent: str
    method: Method

    def row(self) -> SessionRow:
        return SessionRow(*(getattr(self, name) for name in SessionRow._fields))


class ApiToken(Struct, kw_only=True, eq=False):
    """What a script shows instead of a password. hosts: names; None: all that its user may."""

    id: int
    user_id: int
    hash: bytes
    name: str
    start: str
    scope: Literal["read", "write"]
    hosts: tuple[str, ...] | None
    created: float
    expires: float | None
    last_used: float | None
    last_address: str | None

    def row(self) -> TokenRow:
        return TokenRow(*(getattr(self, name) for name in TokenRow._fields))


class Credential(NamedTuple):
    """Something valid that was shown, and whom it stands for. Neither session nor token: a proxy vouched."""

    user: User
    identity: Identity
    session: Session | None = None
    token: ApiToken | None = None


class Outsider(NamedTuple):
    """Somebody whom the provider of single sign-on or a proxy knows. subject None: it is known by the name alone."""

    source: Literal["oidc", "proxy"]
    name: str
    subject: str | None
    full_name: str
    role: Role


def new_token(prefix: str) -> str:
    """256 random bits that can be put into a header or a URL."""
    return prefix + secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """What is stored of a token. It is random, so that a fast hash is as good as a slow one."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
