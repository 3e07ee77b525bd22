"""The pages about people: signing in, the own account, users, who may what with which host, and the audit log."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Literal, NamedTuple
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from hbd.access import Action, Identity, Standing, may, sees_everything, standing, visible
from hbd.accounts import ApiToken, Session, User
from hbd.hosts import Host
from hbd.store.audit import Outcome
from hbd.web import audit as log
from hbd.web import layout
from hbd.web.call import Call
from hbd.web.channels import names
from hbd.web.filtered import MAX_WORDS, ROWS, filtered, fits, number, words
from hbd.web.layout import bare_page, page
from hbd.web.origins import is_secure

SESSIONS = 50
ENTRIES = 100
SUGGESTIONS = 500  # names that a field offers
SOURCES = {"local": "made here", "config": "config file", "oidc": "single sign-on", "proxy": "proxy"}
WAYS = {
    "session": "signed in",
    "token": "API token",
    "proxy": "proxy",
    "cli": "command line",
    "none": "not signed in",
    "daemon": "hbd itself",
}
OUTCOMES: dict[Outcome, tuple[str, str]] = {"done": ("UP", "●"), "refused": ("OVERDUE", "▲"), "failed": ("DOWN", "■")}


class UserRow(NamedTuple):
    """json: what the dialog that edits this user starts with."""

    user: User
    sessions: int
    tokens: int
    json: str


class HostRow(NamedTuple):
    """Who may what with a host. rights of the caller: "own" for everything, "manage" for the monitors alone, or ""."""

    name: str
    owner: str | None
    managers: list[str]
    monitors: list[str]
    standing: str
    rights: str

    @property
    def json(self) -> str:
        return msgspec.json.encode(self._asdict()).decode()


async def login_page(
    call: Call, *, next: str, error: str = "", username: str = "", ticket: str = "", status: int = 200
) -> web.Response:
    """next: where to go afterwards. ticket: stands for the right password, when the second factor is asked for."""
    oidc = call.parts.config.auth.oidc
    return await bare_page(
        call,
        "login",
        status_code=status,
        next=next,
        error=error,
        username=username,
        ticket=ticket,
        label=oidc.label if oidc.issuer else "",
        unencrypted=_unencrypted(call),
    )


async def setup_page(call: Call, *, token: str, error: str = "", username: str = "", status: int = 200) -> web.Response:
    """token: of the link on the console."""
    return await bare_page(
        call,
        "setup",
        status_code=status,
        over="",
        token=token,
        error=error,
        username=username,
        minimum=call.parts.config.auth.min_password_length,
        unencrypted=_unencrypted(call),
    )


async def setup_over(call: Call) -> web.Response:
    """The page of a link that makes nobody a user (any more)."""
    over = "done" if call.parts.accounts.setup_done else "stale"
    return await bare_page(call, "setup", title=layout.SETUP_OVER, status_code=404, over=over)


async def profile(call: Call) -> web.Response:
    """One's own account."""
    user, accounts, auth = call.user, call.parts.accounts, call.parts.config.auth
    sessions: list[Session] = []
    tokens: list[ApiToken] = []
    if user is not None and may(call.identity, Action.CREDENTIALS).allowed:
        sessions, tokens = accounts.sessions(user), accounts.tokens(user)
    credential = call.caller.credential
    return await page(
        call,
        "profile",
        me=user,
        held_back=call.identity.held_back,
        required=user is not None and user.role in auth.second_factor,
        minimum=auth.min_password_length,
        channels=sorted(names(call), key=str.lower) if user is not None else [],
        current=credential.session if credential is not None else None,
        sessions=sessions[:SESSIONS],
        more_sessions=max(0, len(sessions) - SESSIONS),
        tokens=tokens,
        hosts=[host.name for host in visible(call.identity, call.parts.hosts)[:SUGGESTIONS]],
    )


async def users(call: Call) -> web.Response:
    """``?q=``: words that name, full name or role must contain."""
    accounts = call.parts.accounts
    everyone = accounts.everyone()
    wanted = words(call)
    fitting = [user for user in everyone if fits(wanted, (user.name, user.full_name, user.role))]
    part = filtered(call, "/users", len(everyone), len(fitting))
    rows = [_user_row(call, user) for user in fitting[part.first : part.first + ROWS]]
    return await page(
        call,
        "users",
        guest=call.identity.open,
        filtered=part,
        rows=rows,
        sources=SOURCES,
        minimum=call.parts.config.auth.min_password_length,
    )


async def access(call: Call) -> web.Response:
    """``?q=``: words that the name of a host or of those who may something with it must contain."""
    hosts, wanted = visible(call.identity, call.parts.hosts), words(call)
    fitting = [host for host in hosts if fits(wanted, (host.name, host.owner or "", *host.managers, *host.monitors))]
    part = filtered(call, "/access", len(hosts), len(fitting))
    return await page(
        call,
        "access",
        guest=call.identity.open,
        everything=sees_everything(call.identity),
        filtered=part,
        rows=[_host_row(call.identity, host) for host in fitting[part.first : part.first + ROWS]],
        known=sorted(_known_users(call, hosts), key=str.lower)[:SUGGESTIONS],
    )


async def audit(call: Call) -> web.Response:
    """``?user=&action=&outcome=&before=``, newest first; before: the id of an entry."""
    user, action, outcome = (
        call.request.query.get(name, "").strip()[:MAX_WORDS] for name in ("user", "action", "outcome")
    )
    known: Outcome | Literal[""] = next((known for known in OUTCOMES if known == outcome), "")
    asked = {"user": user, "action": action, "outcome": str(known)}
    before = number(call, "before")
    query = log.AuditQuery(limit=ENTRIES, before=before, user=user, action=action, outcome=known)
    entries, following = await log.found(call, query)
    given = {name: value for name, value in asked.items() if value}
    older = "/audit?" + urlencode(given | {"before": following}) if following is not None else None
    return await page(
        call,
        "audit",
        guest=call.identity.open,
        asked=asked,
        before=before,
        entries=entries,
        older=older,
        actions=sorted({entry.action for entry in entries}),
        outcomes=OUTCOMES,
        ways=WAYS,
    )


def _unencrypted(call: Call) -> bool:
    """Whether what is typed here can be read on its way."""
    if is_secure(call.request, call.parts.config):
        return False
    try:
        return not ipaddress.ip_address(call.caller.address).is_loopback
    except ValueError:
        return True


def _user_row(call: Call, user: User) -> UserRow:
    sessions, tokens = call.parts.accounts.session_count(user), call.parts.accounts.token_count(user)
    edited = {
        "username": user.name,
        "full_name": user.full_name,
        "role": user.role,
        "enabled": user.enabled,
        "source": user.source,
        "second_factor": user.totp is not None,
        "sessions": sessions,
        "tokens": tokens,
        "own": user.name == call.identity.name,
    }
    return UserRow(user, sessions, tokens, msgspec.json.encode(edited).decode())


def _host_row(identity: Identity, host: Host) -> HostRow:
    rights = ""
    if not identity.open and may(identity, Action.MANAGE, host, changes=True).allowed:
        rights = "own" if may(identity, Action.OWN, host, changes=True).allowed else "manage"
    level = Standing.NONE if identity.open else standing(identity, host)
    return HostRow(host.name, host.owner, list(host.managers), list(host.monitors), level.name.lower(), rights)


def _known_users(call: Call, hosts: Iterable[Host]) -> set[str]:
    """Names to suggest: who may see all users knows them, everybody else those whom they meet on their hosts."""
    if not call.identity.open and may(call.identity, Action.ADMIN).allowed:
        return {user.name for user in call.parts.accounts.everyone()}
    met = {name for host in hosts for name in (host.owner, *host.managers, *host.monitors) if name}
    return met | {call.identity.name} - {""}
