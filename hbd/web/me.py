"""One's own account over HTTP: profile, sessions, API tokens, second factor."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from hbd.access import Action, Role, may
from hbd.accounts import ApiToken, Session, User
from hbd.config import Config
from hbd.errors import Conflict, Forbidden, InvalidInput, NotFound
from hbd.passwords import check_new
from hbd.second_factor import used_by
from hbd.web import schemas
from hbd.web.auth import ask_again
from hbd.web.call import Call
from hbd.web.errors import require
from hbd.web.signin import visitor
from hbd.web.users import Avatar, ChannelNames, FullName, check_texts, shown

MAX_TOKEN_SECONDS = 10 * 365.25 * 86400


class NewPassword(Struct, forbid_unknown_fields=True):
    current: str
    new: str


class ProfileChange(Struct, forbid_unknown_fields=True):
    """What is left out stays."""

    full_name: FullName | UnsetType = UNSET
    avatar: Avatar | UnsetType = UNSET
    notification_channels: ChannelNames | UnsetType = UNSET
    password: NewPassword | UnsetType = UNSET


class NewToken(Struct, forbid_unknown_fields=True):
    """hosts: the token is for these alone; left out: for all that its user may. expires_in: seconds; null: never."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    scope: Literal["read", "write"] = "read"
    hosts: Annotated[list[str], Meta(max_length=1000)] | None = None
    expires_in: Annotated[float, Meta(ge=60, le=MAX_TOKEN_SECONDS)] | None = None


class PasswordAgain(Struct, forbid_unknown_fields=True):
    password: str = ""


class Code(Struct, forbid_unknown_fields=True):
    code: Annotated[str, Meta(max_length=100)]


def signed_in(call: Call) -> User:
    """Whoever is calling. Raises Conflict where there are no users."""
    if call.user is None:
        raise Conflict("There are no users yet, so there is no account to change")
    return call.user


async def show(call: Call) -> schemas.Me:
    least = call.parts.config.auth.min_password_length
    credential, accounts = call.caller.credential, call.parts.accounts
    if credential is None:
        return schemas.Me(role="admin", admin=True, min_password_length=least)
    session, token = credential.session, credential.token
    return schemas.Me(
        **msgspec.structs.asdict(shown(credential.user, accounts)),
        via=call.caller.via,
        min_password_length=least,
        second_factor_required=accounts.lacks_second_factor(credential.user),
        expires=session.expires if session is not None else token.expires if token is not None else None,
    )


async def update(call: Call) -> schemas.Done:
    user, body = signed_in(call), call.body
    assert isinstance(body, ProfileChange)
    fields: dict[str, Any] = {
        name: value for name in ("full_name", "avatar") if (value := getattr(body, name)) is not UNSET
    }
    check_texts(**fields)
    told = list(fields)
    if body.notification_channels is not UNSET:
        visible = visible_channels(call.parts.config, user)
        fields["channels"] = tuple(name for name in dict.fromkeys(body.notification_channels) if name in visible)
        told.append("notification_channels")
    new_password = body.password is not UNSET
    if isinstance(body.password, NewPassword):
        require(may(call.identity, Action.CREDENTIALS, changes=True))
        if user.password is None:
            raise Conflict("This account has no password here; it signs in elsewhere")
        new = check_new(body.password.new, call.parts.config.auth.min_password_length, "password.new")
        if not await call.parts.sign_in.confirm(user, body.password.current, visitor(call)):
            raise Forbidden("password.current: this is not your password")
        fields["password"] = await call.parts.passwords.hash(new)
        ask_again(call)
        told.append("password")
    if not fields:
        return schemas.Done()
    session = call.caller.credential.session if call.caller.credential is not None else None
    entry = call.entry("profile.change", f"user {user.name}", detail=", ".join(told))
    await call.parts.accounts.change(user, fields, entry, keep=session, sign_out=new_password)
    return schemas.Done()


def visible_channels(config: Config, user: User) -> set[str]:
    """Names of the notification channels that a user may choose: public ones and the own."""
    return {
        name
        for name, settings in config.notification_channels.items()
        if user.role is Role.ADMIN or not settings.get("private") or settings.get("owner") == user.name
    }


# ---------------------------------------------------------------------------------------------------------- sessions


async def sessions(call: Call) -> list[schemas.Session]:
    if call.user is None:
        return []
    own = call.caller.credential.session if call.caller.credential is not None else None
    return [_shown_session(session, session is own) for session in call.parts.accounts.sessions(call.user)]


def _shown_session(session: Session, current: bool) -> schemas.Session:
    return schemas.Session(
        id=session.id,
        created=session.created,
        expires=session.expires,
        last_used=session.last_used,
        address=session.address,
        user_agent=session.user_agent,
        method=session.method,
        current=current,
    )


async def end_session(call: Call) -> schemas.Done:
    user, wanted = signed_in(call), call.path["id"]
    found = [session for session in call.parts.accounts.sessions(user) if str(session.id) == wanted]
    if not found:
        raise NotFound(f"Session '{wanted}' not found")
    await call.parts.accounts.end(found, call.entry("session.end", f"user {user.name}", detail=found[0].address))
    return schemas.Done()


async def end_other_sessions(call: Call) -> schemas.Ended:
    user = signed_in(call)
    own = call.caller.credential.session if call.caller.credential is not None else None
    others = [session for session in call.parts.accounts.sessions(user) if session is not own]
    detail = f"{len(others)} other sessions"
    await call.parts.accounts.end(others, call.entry("session.end", f"user {user.name}", detail=detail))
    return schemas.Ended(ended=len(others))


# ------------------------------------------------------------------------------------------------------------ tokens


async def tokens(call: Call) -> list[schemas.Token]:
    if call.user is None:
        return []
    return [schemas.Token(**shown_token(token)) for token in call.parts.accounts.tokens(call.user)]


def shown_token(token: ApiToken) -> dict[str, Any]:
    """What everybody may know of a token who may know of it at all."""
    return {
        "id": token.id,
        "name": token.name,
        "start": token.start,
        "scope": token.scope,
        "hosts": None if token.hosts is None else list(token.hosts),
        "created": token.created,
        "expires": token.expires,
        "last_used": token.last_used,
        "last_address": token.last_address,
    }


async def create_token(call: Call) -> schemas.CreatedToken:
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


async def delete_token(call: Call) -> schemas.Done:
    user, wanted = signed_in(call), call.path["id"]
    for token in call.parts.accounts.tokens(user):
        if str(token.id) == wanted:
            await call.parts.accounts.delete_token(token, call.entry("token.revoke", f"token {token.name}"))
            return schemas.Done()
    raise NotFound(f"Token '{wanted}' not found")


# ----------------------------------------------------------------------------------------------------- second factor


async def offer_second_factor(call: Call) -> schemas.SecondFactorOffer:
    user, body = signed_in(call), call.body
    assert isinstance(body, PasswordAgain)
    if user.password is not None and not await call.parts.sign_in.confirm(user, body.password, visitor(call)):
        raise Forbidden("password: this is not your password")
    ask_again(call)
    offer = call.parts.second_factors.offer(user, time.time())
    return schemas.SecondFactorOffer(offer.secret, offer.uri, offer.qr)


async def take_second_factor(call: Call) -> schemas.RecoveryCodes:
    user, body = signed_in(call), call.body
    assert isinstance(body, Code)
    entry = call.entry("second_factor.set_up", f"user {user.name}")
    return schemas.RecoveryCodes(recovery_codes=await call.parts.second_factors.take(user, body.code, entry))


async def remove_second_factor(call: Call) -> schemas.Done:
    user, body = signed_in(call), call.body
    assert isinstance(body, Code)
    if user.totp is None:
        raise Conflict("There is no second factor")
    call.parts.sign_in.require_patience(user.name, visitor(call))
    if used_by(user, body.code, time.time()) is None:
        call.parts.sign_in.count_failure(user.name, visitor(call))
        raise Forbidden("code: this code is wrong, or was used already")
    await call.parts.second_factors.remove(user, call.entry("second_factor.remove", f"user {user.name}"))
    return schemas.Done()
