"""One's own account over HTTP: profile, sessions, second factor. API tokens are in ``tokens``."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from hbd.access import Action, may
from hbd.accounts import Session, User
from hbd.accounts.shown import check_avatar, check_texts
from hbd.errors import Conflict, Forbidden, NotFound
from hbd.passwords import check_new
from hbd.second_factor import used_by
from hbd.web import channels, schemas
from hbd.web.auth import ask_again
from hbd.web.call import Call
from hbd.web.errors import require
from hbd.web.signin import guesses, visitor
from hbd.web.users import ChannelNames, FullName, shown


class NewPassword(Struct, forbid_unknown_fields=True):
    current: str
    new: str


class ProfileChange(Struct, forbid_unknown_fields=True):
    """What is left out stays."""

    full_name: FullName | UnsetType = UNSET
    avatar: str | UnsetType = UNSET
    notification_channels: ChannelNames | UnsetType = UNSET
    password: NewPassword | UnsetType = UNSET


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
    check_avatar(fields.get("avatar", ""), user.avatar)
    told = list(fields)
    if body.notification_channels is not UNSET:
        visible = channels.names(call)
        fields["channels"] = tuple(name for name in dict.fromkeys(body.notification_channels) if name in visible)
        told.append("notification_channels")
    new_password = body.password is not UNSET
    if isinstance(body.password, NewPassword):
        require(may(call.identity, Action.CREDENTIALS, changes=True))
        if user.password is None:
            raise Conflict("This account has no password here; it signs in elsewhere")
        new = check_new(body.password.new, call.parts.config.auth.min_password_length, "password.new")
        if not await _is_password(call, user, body.password.current):
            raise Forbidden("password.current: this is not your password")
        fields["password"] = await call.parts.passwords.hash(new)
        ask_again(call)
        told.append("password")
    if not fields:
        return schemas.Done()
    session = call.caller.credential.session if call.caller.credential is not None else None
    entry = call.entry("profile.change", f"user {user.name}", detail=", ".join(told))
    await call.parts.accounts.change(
        user, fields, entry, keep=session, sign_out=new_password, expecting=user if new_password else None
    )
    return schemas.Done()


async def _is_password(call: Call, user: User, password: str) -> bool:
    with guesses(call):
        return await call.parts.sign_in.confirm(user, password, visitor(call))


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


# ----------------------------------------------------------------------------------------------------- second factor


async def offer_second_factor(call: Call) -> schemas.SecondFactorOffer:
    user, body = signed_in(call), call.body
    assert isinstance(body, PasswordAgain)
    if user.password is not None and not await _is_password(call, user, body.password):
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
    with guesses(call):
        call.parts.sign_in.require_patience(user.name, visitor(call))
    if used_by(user, body.code, time.time()) is None:
        call.parts.sign_in.count_failure(user.name, visitor(call))
        raise Forbidden("code: this code is wrong, or was used already")
    await call.parts.second_factors.remove(user, call.entry("second_factor.remove", f"user {user.name}"))
    return schemas.Done()
