"""Who is calling, and may they: the questions before every route."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from aiohttp import web

from hbd.access import EVERYBODY, STRANGER, Action, Role, may
from hbd.accounts import Credential, Outsider
from hbd.accounts.shown import MAX_NAME_LENGTH
from hbd.errors import Conflict, Forbidden, InvalidInput, NotFound
from hbd.group_roles import role_of
from hbd.hosts import Host, Hosts
from hbd.model import without_joiners
from hbd.store.audit import Entry
from hbd.web.call import Call, Caller, Kind, Route
from hbd.web.errors import printable, require
from hbd.web.origins import client_address, from_proxy, is_secure
from hbd.web.parts import Parts

SECURE_COOKIE, PLAIN_COOKIE = "__Host-hbd", "hbd_session"
MAX_TOKEN_LENGTH = 200
FINDERS: dict[str, Callable[[Hosts, str], Host | None]] = {
    "host": Hosts.get,
    "agent": Hosts.agent,
    "server": Hosts.server,
}
"""placeholders of a path that name a host, and how it is found"""


async def identify(request: web.Request, route: Route, parts: Parts) -> Caller:
    """Whoever is calling, by what they show: a token in a header, where browsers cannot set one in the URL, a cookie,
    or the word of a proxy. Without users everybody is welcome; with users, who shows nothing is a stranger."""
    address = client_address(request, parts.config)
    if parts.accounts.open:
        return Caller(identity=EVERYBODY, address=address)
    shown, ambient = shown_token(request, route), False
    if not shown and (shown := request.cookies.get(cookie_name(request, parts), "")):
        ambient = True
    if shown:
        now = time.time()
        credential = parts.accounts.credential(shown[:MAX_TOKEN_LENGTH], now)
        if credential is None:
            return Caller(identity=STRANGER, address=address, refused=True)
        parts.accounts.use(credential, address, now)
        return known(credential, address, ambient)
    proxied = parts.config.auth.proxy.user_header is not None and from_proxy(request, parts.config)
    if proxied and route.action is not Action.ENTER:  # what everybody may have makes nobody an account
        return await _vouched_for(request, parts, address)
    return Caller(identity=STRANGER, address=address)


def known(credential: Credential, address: str, ambient: bool) -> Caller:
    return Caller(
        identity=credential.identity,
        address=address,
        via="token" if credential.token is not None else "session",
        credential=credential,
        ambient=ambient,
    )


def shown_token(request: web.Request, route: Route) -> str:
    """The token that was sent on purpose; "" when there is none."""
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and rest.strip():
        return rest.strip()
    if token := request.headers.get("X-Auth-Token", "").strip():
        return token
    return request.query.get("token", "") if route.kind is Kind.STREAM else ""


def cookie_name(request: web.Request, parts: Parts) -> str:
    """Over TLS it has a name that no other host and no plain page can set."""
    return SECURE_COOKIE if is_secure(request, parts.config) else PLAIN_COOKIE


def set_cookie(response: web.StreamResponse, request: web.Request, parts: Parts, token: str) -> None:
    """Have the browser show this token from now on."""
    response.set_cookie(
        cookie_name(request, parts),
        token,
        max_age=int(parts.config.auth.session),
        path="/",
        secure=is_secure(request, parts.config),
        httponly=True,
        samesite="Lax",
    )


def clear_cookie(response: web.StreamResponse, request: web.Request, parts: Parts) -> None:
    secure = is_secure(request, parts.config)
    response.del_cookie(cookie_name(request, parts), path="/", secure=secure, httponly=True, samesite="Lax")


async def _vouched_for(request: web.Request, parts: Parts, address: str) -> Caller:
    """Whom the proxy names. Whoever is new gets an account, with the role that the groups give; who may not enter is a
    stranger, and is told why."""
    said = parts.config.auth.proxy
    stranger = Caller(identity=STRANGER, address=address, via="proxy")
    words: dict[str, str] = {}
    for header in (said.user_header or "", said.name_header, said.groups_header):
        values = request.headers.getall(header, ())
        if len(values) > 1:  # somebody has put another one beside the proxy's
            return replace(stranger, kept_out=f"The header {header} came more than once; the proxy has to replace it")
        words[header] = values[0].strip() if values else ""
    name = words[said.user_header or ""]
    if not name:
        return Caller(identity=STRANGER, address=address)
    stranger = replace(stranger, named=printable(name))
    groups = {group.strip() for group in words[said.groups_header].split(",")}
    role = role_of(groups, said.roles, said.default_role)
    if role is None:
        return replace(stranger, kept_out="None of your groups may use hbd")
    full_name = words[said.name_header]
    if not without_joiners(full_name).isprintable():
        full_name = printable(full_name)
    person = Outsider("proxy", name, None, full_name[:MAX_NAME_LENGTH], Role(role))
    entry = Entry(time=time.time(), user=name, via="proxy", address=address, action="user.admit", object=f"user {name}")
    try:
        user = await parts.accounts.admit(person, entry)
    except (Conflict, InvalidInput) as error:
        return replace(stranger, kept_out=f"The proxy's user is not taken: {error}")
    credential = parts.accounts.vouched_for(user.name)
    if credential is None:
        return replace(stranger, kept_out="This account is disabled")
    return Caller(identity=credential.identity, address=address, via="proxy", credential=credential, ambient=True)


def renewed(parts: Parts, credential: Credential) -> Credential | None:
    """What was shown earlier, as it stands now; None when it stands for nobody any more."""
    if credential.session is not None:
        return parts.accounts.by_hash(credential.session.hash, time.time())
    if credential.token is not None:
        return parts.accounts.by_hash(credential.token.hash, time.time())
    return parts.accounts.vouched_for(credential.user.name)


def ask_again(call: Call) -> None:
    """Make sure, after something that took its time, that the caller still may; who lost the right does not use it.

    Raises Unauthorised, Forbidden or NotFound.
    """
    caller, parts = call.caller, call.parts
    if caller.credential is not None:
        now = renewed(parts, caller.credential)
        identity = now.identity if now is not None else STRANGER
        call.caller = replace(caller, identity=identity, credential=now)
    elif caller.identity.open and not parts.accounts.open:
        call.caller = replace(caller, identity=STRANGER)
    call.host_in_path = authorise(call.route, call.caller, parts.hosts, call.path)


def authorise(route: Route, caller: Caller, hosts: Hosts, path: Mapping[str, str]) -> Host | None:
    """The host in the path, if the route has one. Raises Unauthorised, Forbidden or NotFound."""
    identity = caller.identity
    if caller.kept_out and route.action is not Action.ENTER:
        raise Forbidden(caller.kept_out)
    if route.late and identity.role is None and not identity.open:
        return None
    named = next((name for name in FINDERS if name in path), None)
    if named is None or route.action is Action.ENTER:
        require(may(identity, route.action, changes=route.changes))
        return None
    host = FINDERS[named](hosts, path[named])
    if host is not None:
        require(may(identity, route.action, host, changes=route.changes))
        return host
    verdict = may(identity, Action.VIEW if route.action is not None else None)
    if not verdict.allowed:
        require(verdict)
    raise NotFound("server_not_found" if named == "server" else f"{named.capitalize()} '{path[named]}' not found")
