"""Signing in at an OpenID Connect provider: to it, and back from it."""

from __future__ import annotations

import logging
import time

from aiohttp import web

from hbd import addresses
from hbd.access import Role
from hbd.accounts import Outsider, User
from hbd.errors import Conflict, InvalidInput
from hbd.group_roles import role_of
from hbd.oidc import FLOW_SECONDS, Person, SignInFailed
from hbd.signin import SignInRefused
from hbd.web import account_pages
from hbd.web.call import Call
from hbd.web.origins import is_secure
from hbd.web.signin import counted, enter, safe_path, visitor

log = logging.getLogger(__name__)

COOKIE, COOKIE_PATH = "hbd_oidc", "/login/oidc"


async def begin(call: Call) -> web.StreamResponse:
    """``?next=``: where to go afterwards."""
    provider, wanted = call.parts.provider(), safe_path(call.request.query.get("next", ""))
    if provider is None:
        raise web.HTTPNotFound
    try:
        begun = await provider.begin(wanted, time.time(), addresses.key(call.caller.address))
    except SignInFailed as failed:
        log.info("Single sign-on cannot be begun: %s", failed.detail)
        return await _failed(call, failed.reason, wanted)
    response = web.Response(status=303, headers={"Location": begun.url})
    # Lax, as the way back is a link on the provider's site.
    response.set_cookie(
        COOKIE,
        begun.browser,
        max_age=int(FLOW_SECONDS),
        path=COOKIE_PATH,
        secure=is_secure(call.request, call.parts.config),
        httponly=True,
        samesite="Lax",
    )
    return response


async def finish(call: Call) -> web.StreamResponse:
    """Where the provider sends the browser back to."""
    provider = call.parts.provider()
    if provider is None:
        raise web.HTTPNotFound
    wanted = ""
    try:
        with counted(call):
            person = await provider.finish(call.request.query, call.request.cookies.get(COOKIE, ""), time.time())
            wanted = safe_path(person.next_path)
            signed_in = await call.parts.sign_in.trusted(await _admitted(call, person), "oidc", visitor(call))
    except SignInFailed as failed:
        response = await _failed(call, failed.reason, wanted)
    except (SignInRefused, Conflict, InvalidInput) as refused:
        response = await _failed(call, str(refused), wanted)
    else:
        response = enter(call, signed_in, wanted)
    response.del_cookie(COOKIE, path=COOKIE_PATH)
    return response


async def _admitted(call: Call, person: Person) -> User:
    """The account of somebody whom the provider knows."""
    oidc = call.parts.config.auth.oidc
    role = role_of(person.groups, oidc.roles, oidc.default_role)
    if role is None:
        raise SignInRefused("None of your groups may use hbd")
    outsider = Outsider("oidc", person.name, person.subject, person.full_name, Role(role))
    entry = call.entry("user.admit", f"user {person.name}", detail=f"role {role}, by single sign-on")
    return await call.parts.accounts.admit(outsider, entry, link=oidc.link_users)


async def _failed(call: Call, reason: str, wanted: str) -> web.Response:
    told = f"single sign-on: {reason}"
    call.parts.audit.note(call.entry("login", "a user nobody knows", outcome="failed", detail=told))
    return await account_pages.login_page(call, next=wanted or "/live", error=reason, status=403)
