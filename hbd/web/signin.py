"""Signing in and out, over the API and with the pages that do it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from hbd.errors import Busy, Conflict, HbdError, InvalidInput, StorageError, TooMany
from hbd.oidc import SignInFailed
from hbd.passwords import check_new
from hbd.signin import SecondFactorWanted, SignedIn, SignInRefused, Visitor
from hbd.web import account_pages, schemas
from hbd.web.auth import clear_cookie, set_cookie
from hbd.web.call import Body, Call
from hbd.web.errors import Unsupported, printable

log = logging.getLogger(__name__)

HOME = "/live"
MAX_FIELDS = 20  # of a form
NO_STEPS = frozenset(("", ".", ".."))  # in a path that leads nowhere else than it says


OUTCOMES: dict[type[HbdError], str] = {
    SecondFactorWanted: "second_factor",
    TooMany: "limited",
    Busy: "busy",
    StorageError: "busy",
}
"""how a sign-in ends that comes to nothing; all others have failed"""
TOLD = ("failed", "limited")


class Login(Struct):
    """code: of the second factor, where there is one. Where nobody has to sign in, nothing is needed."""

    username: str | UnsetType = UNSET
    password: str = ""
    code: str = ""


class LoggedIn(Struct):
    """token: to be sent as ``Authorization: Bearer``; null where nobody needs to sign in."""

    token: str | None
    expires: float | None = None
    username: str | None = None
    role: str | None = None


def visitor(call: Call) -> Visitor:
    return Visitor(call.caller.address, printable(call.request.headers.get("User-Agent", "")))


@contextmanager
def counted(call: Call) -> Iterator[None]:
    """Count how a sign-in ends. A failure is one line in the log too, for programs that ban addresses."""
    outcome, detail = "done", ""
    try:
        with guesses(call):
            yield
    except SignInFailed as error:
        outcome, detail = "failed", f" ({error.detail})"
        raise
    except HbdError as error:
        outcome = next((word for kind, word in OUTCOMES.items() if isinstance(error, kind)), "failed")
        raise
    finally:
        call.parts.stats.count("sign_ins_total", outcome=outcome)
        if outcome in TOLD:
            log.info("sign-in from %s: %s%s", call.caller.address, outcome, detail)


@contextmanager
def guesses(call: Call) -> Iterator[None]:
    """Count the passwords and codes that are not looked at, after too many wrong ones."""
    try:
        yield
    except TooMany:
        call.parts.stats.count("login_limited_total")
        raise


async def login(call: Call) -> web.StreamResponse | LoggedIn | Body:
    body: Login = call.body
    if call.parts.accounts.open:
        return LoggedIn(None)
    if body.username is UNSET:
        raise InvalidInput("is needed", "username")
    try:
        with counted(call):
            signed_in = await call.parts.sign_in.password(body.username, body.password, body.code, visitor(call))
    except SecondFactorWanted as wanted:
        return Body(msgspec.json.encode({"error": str(wanted), "second_factor": True}), status=401)
    user = signed_in.user
    answer = LoggedIn(signed_in.token, signed_in.expires, user.name, user.role)
    response = web.Response(body=msgspec.json.encode(answer), content_type="application/json")
    set_cookie(response, call.request, call.parts, signed_in.token)
    return response


async def logout(call: Call) -> web.StreamResponse:
    await _end_session(call)
    response = web.Response(body=msgspec.json.encode(schemas.Done()), content_type="application/json")
    clear_cookie(response, call.request, call.parts)
    return response


async def _end_session(call: Call) -> None:
    credential = call.caller.credential
    if credential is not None and credential.session is not None:
        await call.parts.accounts.end([credential.session], call.entry("logout", f"user {credential.user.name}"))


# ------------------------------------------------------------------------------------------------------------- pages


def safe_path(text: str) -> str:
    """Where somebody goes after signing in: a path of ours, else the first page.

    It is looked at as browsers and the router take it, without ``%6c`` for a letter, but is not changed.
    """
    try:
        parts = urlsplit(text)
        path = unquote(parts.path, errors="strict")
    except ValueError:
        return HOME
    first, *steps = path.split("/")
    inside = path == "/" or (steps != [] and not NO_STEPS.intersection(steps))
    ours = inside and not (parts.scheme or parts.netloc or first or text.startswith("//"))
    plain = text.isascii() and text.isprintable() and path.isprintable() and not {"\\", " "}.intersection(text + path)
    return text if ours and plain and len(text) <= 2000 and not path.startswith(("/login", "/logout")) else HOME


async def login_form(call: Call) -> web.StreamResponse:
    wanted = safe_path(call.request.query.get("next", ""))
    if call.identity.open or (call.identity.role is not None and call.caller.via != "token"):
        return _to(wanted)
    return await account_pages.login_page(call, next=wanted)


async def submit_login(call: Call) -> web.StreamResponse:
    form = await form_of(call)
    name, ticket, wanted = form.get("username", ""), form.get("ticket", ""), safe_path(form.get("next", ""))
    if call.parts.accounts.open:
        return _to(wanted)
    code, error, status = form.get("code", ""), "", 401
    try:
        with counted(call):
            if ticket:
                signed_in = await call.parts.sign_in.code(ticket, code, visitor(call))
            else:
                signed_in = await call.parts.sign_in.password(name, form.get("password", ""), code, visitor(call))
        return enter(call, signed_in, wanted)
    except SecondFactorWanted as wish:
        return await account_pages.login_page(call, next=wanted, username=name, ticket=wish.ticket)
    except SignInRefused as refused:
        error, ticket = str(refused), ticket if "code" in str(refused) else ""
    except TooMany as limited:
        error, status = f"{limited}, in {_in_words(limited.wait)}", 429
    except InvalidInput as wrong:
        error, status = str(wrong), 400
    except (Busy, Conflict) as busy:
        error, status = str(busy), 503
    return await account_pages.login_page(call, next=wanted, error=error, username=name, ticket=ticket, status=status)


def enter(call: Call, signed_in: SignedIn, wanted: str) -> web.Response:
    """Send somebody who has just signed in to the page that was asked for."""
    response = _to(wanted)
    set_cookie(response, call.request, call.parts, signed_in.token)
    return response


async def leave(call: Call) -> web.StreamResponse:
    """The page /logout. A link on another site's page signs nobody out."""
    if call.request.method == "HEAD":  # it asks what would be
        return _to("/login")
    if call.route.changes or call.request.headers.get("Sec-Fetch-Site") not in ("cross-site", "same-site"):
        await _end_session(call)
        response = _to("/login")
        clear_cookie(response, call.request, call.parts)
        return response
    return _to(HOME)


async def setup_form(call: Call) -> web.StreamResponse:
    token = call.path["token"]
    if not call.parts.sign_in.opens_setup(token):
        return await account_pages.setup_over(call)
    return await account_pages.setup_page(call, token=token)


async def submit_setup(call: Call) -> web.StreamResponse:
    token = call.path["token"]
    if not call.parts.sign_in.opens_setup(token):
        return await account_pages.setup_over(call)
    form = await form_of(call)
    name = form.get("username", "").strip()
    try:
        password = check_new(form.get("password", ""), call.parts.config.auth.min_password_length)
        signed_in = await call.parts.sign_in.set_up(name, password, visitor(call))
    except (InvalidInput, Busy) as error:
        return await account_pages.setup_page(call, token=token, error=str(error), username=name, status=400)
    except Conflict:
        return await account_pages.setup_over(call)
    return enter(call, signed_in, HOME)


async def form_of(call: Call) -> dict[str, str]:
    """What a page's form sent. Raises Unsupported, InvalidInput."""
    if call.request.content_type != "application/x-www-form-urlencoded":
        raise Unsupported("The body must be application/x-www-form-urlencoded")
    body = await call.request.read()
    try:  # always UTF-8, whatever charset the header names
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise InvalidInput("The body is no form") from None


def _to(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path})


def _in_words(seconds: float) -> str:
    minutes = int(seconds // 60) + 1
    return "a minute" if minutes == 1 else f"{minutes} minutes"
