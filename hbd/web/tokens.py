"""API tokens over HTTP: one's own, and for admins those of others."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from msgspec import Meta, Struct

from hbd.access import Action, may
from hbd.accounts import ApiToken, User
from hbd.accounts.shown import check_texts, shown_token
from hbd.errors import Forbidden, InvalidInput, NotFound
from hbd.web import schemas
from hbd.web.call import Call
from hbd.web.me import signed_in

MAX_TOKEN_SECONDS = 10 * 365.25 * 86400


class NewToken(Struct, forbid_unknown_fields=True):
    """hosts: the token is for these alone; left out: for all that its user may. expires_in: seconds; null: never."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    scope: Literal["read", "write"] = "read"
    hosts: Annotated[list[str], Meta(max_length=1000)] | None = None
    expires_in: Annotated[float, Meta(ge=60, le=MAX_TOKEN_SECONDS)] | None = None


async def index(call: Call) -> list[schemas.Token]:
    return [] if call.user is None else _shown(call, call.user)


async def create(call: Call) -> schemas.CreatedToken:
    user, body = signed_in(call), call.body
    assert isinstance(body, NewToken)
    if call.identity.held_back:  # or the token would get around what holds its user back
        raise Forbidden(call.identity.held_back)
    check_texts(name=body.name)
    hosts = None if body.hosts is None else tuple(dict.fromkeys(_own_host(call, name) for name in body.hosts))
    made, text = await call.parts.accounts.add_token(
        user,
        body.name,
        call.entry("token.create", f"token {body.name}", detail=body.scope),
        scope=body.scope,
        hosts=hosts,
        expires=None if body.expires_in is None else time.time() + body.expires_in,
    )
    return schemas.CreatedToken(**shown_token(made), token=text)


def _own_host(call: Call, name: str) -> str:
    host = call.parts.hosts.get(name)
    if host is None or not may(call.identity, Action.VIEW, host).allowed:
        raise InvalidInput(f"there is no host '{name}' that you may see", "hosts")
    return host.name


async def revoke(call: Call) -> schemas.Done:
    await _revoke(call, _named(call, signed_in(call)))
    return schemas.Done()


async def index_of_user(call: Call) -> list[schemas.Token]:
    return _shown(call, call.parts.accounts.require(call.path["user"]))


async def revoke_of_user(call: Call) -> schemas.Done:
    user = call.parts.accounts.require(call.path["user"])
    await _revoke(call, _named(call, user), f"of {user.name}")
    return schemas.Done()


async def revoke_all_of_user(call: Call) -> schemas.Revoked:
    user = call.parts.accounts.require(call.path["user"])
    found = call.parts.accounts.tokens(user)
    for token in found:
        await _revoke(call, token, f"of {user.name}")
    return schemas.Revoked(revoked=len(found))


def _shown(call: Call, user: User) -> list[schemas.Token]:
    return [schemas.Token(**shown_token(token)) for token in call.parts.accounts.tokens(user)]


def _named(call: Call, user: User) -> ApiToken:
    """The token of a user whose id is in the path."""
    wanted = call.path["id"]
    for token in call.parts.accounts.tokens(user):
        if str(token.id) == wanted:
            return token
    raise NotFound(f"Token '{wanted}' not found")


async def _revoke(call: Call, token: ApiToken, detail: str = "") -> None:
    await call.parts.accounts.delete_token(token, call.entry("token.revoke", f"token {token.name}", detail=detail))
