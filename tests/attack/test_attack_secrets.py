"""What must never be seen: S40 (answers), S41 (logs), S43 (the database), S44 (comparisons)."""

from __future__ import annotations

import ast
import logging
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from aiohttp import ClientResponse, WSMsgType
from aiohttp.test_utils import TestClient
from callers import ALPHA, BETA, OTHER_USER, Callers, entry
from matrix import MATRIX
from questions import CALLERS
from world import Api, RealServer, World

import hbd
from hbd import totp
from hbd.access import Action
from hbd.config import Config
from hbd.config.structs import Auth, ChannelSettings, Oidc, Secret, User
from hbd.enrolment import Enrolment
from hbd.errors import StorageError
from hbd.logs import _Json, _Text
from hbd.signin import Visitor
from hbd.web.app import application
from hbd.web.call import Call, Kind, Route
from hbd.web.routes import ROUTES

PASSWORD, WRONG_PASSWORD, NEW_PASSWORD = "canary-password-7f3a", "canary-guess-91cc", "canary-new-password-e0"
CLIENT_SECRET, CHANNEL_SECRET = "canary-client-secret-55", "canary-channel-secret-08"

# ------------------------------------------------------------------------------------------- a world full of canaries


class Canaries:
    """name to text of every secret in a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.texts: dict[str, str] = {}

    async def release(self) -> None:
        """Everything secret that there can be, with a user ``canary``, who is an admin."""
        world, accounts = self.world, self.world.security.accounts
        users = dict(world.parts.config.users)
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        users["canary"] = User(role="admin", password=Secret(hashed))
        oidc = Oidc(
            issuer="https://id.example", client_id="hbd", client_secret=Secret(CLIENT_SECRET), default_role="viewer"
        )
        config = Config(
            users=users,
            hosts=world.parts.config.hosts,
            auth=Auth(second_factor=("operator",), oidc=oidc),
            notification_channels={"phone": ChannelSettings(type="ntfy", token=CHANNEL_SECRET, owner="canary")},
        )
        await world.configure(config)
        user = accounts.require("canary")
        secret, codes = totp.new_secret(), totp.new_recovery_codes(2)
        fields = {"totp": secret, "totp_step": 0, "recovery": tuple(map(totp.recovery_hash, codes))}
        await accounts.change(user, fields, entry("second_factor.set_up"))
        session = await world.session("canary")
        _, token = await accounts.add_token(
            user, "canary", entry("token.create"), scope="write", hosts=None, expires=None
        )
        offered = world.security.second_factors.offer(accounts.require("viewer"), time.time())
        self.texts = {
            "password": PASSWORD,
            "wrong password": WRONG_PASSWORD,
            "new password": NEW_PASSWORD,
            "hash": hashed,
            "secret of the second factor": secret,
            "recovery code": codes[0],
            "other recovery code": codes[1].replace("-", ""),
            "session": session,
            "API token": token,
            "client secret": CLIENT_SECRET,
            "channel secret": CHANNEL_SECRET,
            "setup token": world.security.sign_in.setup_token,
            "offered secret": offered.secret,
            "agent key": await Enrolment(world.hosts, world.store).add("with-a-key"),
        }

    def in_(self, text: str, *, but: Iterable[str] = ()) -> list[str]:
        """Names of the canaries that a text holds."""
        return [name for name, secret in self.texts.items() if name not in but and secret in text]


@pytest.fixture
async def canaries(callers: Callers, world: World) -> Canaries:
    made = Canaries(world)
    await made.release()
    return made


async def text_of(answer: ClientResponse) -> str:
    return f"{answer.headers}\n{await answer.text()}"


# ---------------------------------------------------------------------------------------------------- S40 in answers


@pytest.mark.parametrize("caller", sorted(CALLERS))
async def test_s40_no_answer_to_anybody_holds_a_secret(
    api: Api, callers: Callers, canaries: Canaries, caller: str
) -> None:
    headers = await callers.headers(caller)
    for route in sorted(ROUTES, key=lambda route: route.method == "DELETE"):  # what is deleted has nothing to say
        if route.kind is Kind.STREAM:
            continue
        for question in MATRIX[f"{route.method} {route.template}"]:
            options = {"json": question.body} if question.form is None else {"data": question.form}
            for host, user in ((ALPHA, "canary"), (BETA, OTHER_USER), ("nope", "nope")):
                named = {"host": host, "agent": host, "server": host, "user": user, **question.path}
                path = (route.template + question.query).format(**named)
                answer = await api.request(route.method, path, headers=headers, allow_redirects=False, **options)
                assert answer.status < 500
                assert canaries.in_(await text_of(answer)) == [], f"{route.method} {path}"


async def test_s40_nothing_of_what_is_shown_once_is_shown_again(api: Api, canaries: Canaries) -> None:
    headers = {"Authorization": f"Bearer {canaries.texts['session']}"}
    for path in ("me", "me/sessions", "me/tokens", "canary", ""):
        answer = await api.get(f"/api/0/users/{path}".rstrip("/"), headers=headers)
        assert answer.status == 200
        assert canaries.in_(await text_of(answer)) == []
    for path in ("/profile", "/users", "/audit", "/status"):
        assert canaries.in_(await text_of(await api.get(path, headers=headers))) == []


async def test_s40_no_word_of_the_feed_holds_a_secret(api: Api, canaries: Canaries, world: World) -> None:
    async with api.ws_connect(f"/hbd?token={canaries.texts['API token']}") as ws:
        world.beat(world.hosts.require(ALPHA))
        await ws.send_json({"type": "auth", "token": WRONG_PASSWORD})
        await ws.send_str("nonsense" + WRONG_PASSWORD)
        heard = ""
        while "error" not in heard:
            frame = await ws.receive(timeout=10)
            assert frame.type is WSMsgType.TEXT
            heard += frame.data
        assert canaries.in_(heard) == []


async def test_s40_an_error_never_echoes_what_was_sent_as_a_secret(api: Api, canaries: Canaries) -> None:
    sent: list[tuple[str, str, Any]] = [
        ("POST", "/api/0/auth/login", {"username": "canary", "password": WRONG_PASSWORD}),
        ("POST", "/api/0/auth/login", {"username": ["x"], "password": WRONG_PASSWORD}),
        ("POST", "/api/0/auth/login", {"username": "canary", "password": WRONG_PASSWORD * 10}),
        ("PUT", "/api/0/users/me", {"password": {"current": WRONG_PASSWORD, "new": NEW_PASSWORD}}),
        ("PUT", "/api/0/users/me", {"password": {"current": PASSWORD, "new": NEW_PASSWORD, "x": 1}}),
        ("PUT", "/api/0/users/me", {"password": NEW_PASSWORD}),
        ("PUT", "/api/0/users/viewer", {"password": NEW_PASSWORD + "\0"}),
        ("POST", "/api/0/users", {"username": "viewer", "password": NEW_PASSWORD}),
        ("POST", "/api/0/users", {"username": "new", "role": NEW_PASSWORD}),
        ("DELETE", "/api/0/users/me/second_factor", {"code": canaries.texts["recovery code"] + "0"}),
    ]
    headers = {"Authorization": f"Bearer {canaries.texts['session']}"}
    for method, path, body in sent:
        answer = await api.request(method, path, json=body, headers=headers)
        assert answer.status >= 400
        found = canaries.in_(await text_of(answer))
        # A word that is none of the roles is named, as every word that is not allowed; it was sent as no secret.
        assert found == ([] if "role" not in body else found), (path, body)
    form = {"username": "canary", "password": WRONG_PASSWORD, "next": "/live"}
    assert canaries.in_(await text_of(await api.post("/login", data=form))) == []


# ------------------------------------------------------------------------------------------------------- S41 in logs


async def all_flows(api: Api, world: World, canaries: Canaries) -> None:
    """Everything that a secret goes through, well and badly."""
    texts, login = canaries.texts, "/api/0/auth/login"
    session = {"Authorization": f"Bearer {texts['session']}"}
    for password, code in (
        (WRONG_PASSWORD, ""),
        (PASSWORD, ""),
        (PASSWORD, "000000"),
        (PASSWORD, texts["recovery code"]),
    ):
        await api.post(login, json={"username": "canary", "password": password, "code": code})
        await api.post("/login", data={"username": "canary", "password": password, "code": code})
    await api.post(
        login, data=f'{{"password": "{WRONG_PASSWORD}", '.encode(), headers={"Content-Type": "application/json"}
    )
    await api.post(login, json={"username": WRONG_PASSWORD, "password": WRONG_PASSWORD})  # in the wrong field
    for way in ({"X-Auth-Token": texts["API token"]}, {"Cookie": f"hbd_session={texts['session']}"}, session):
        await api.get("/live", headers=way)
        await api.get("/api/0/hosts/nope", headers=way)
        await api.put("/api/0/users/nope", json={}, headers=way)
    await api.get(f"/hbd?token={texts['API token']}")
    await api.get(f"/api/0/hosts?token={texts['API token']}")
    await api.get(f"/setup/{texts['setup token']}")
    await api.post("/api/0/users", json={"username": "made", "password": NEW_PASSWORD}, headers=session)
    await api.put("/api/0/users/made", json={"password": PASSWORD}, headers=session)
    body = {"password": {"current": PASSWORD, "new": NEW_PASSWORD}}
    await api.put("/api/0/users/me", json=body, headers={"X-Auth-Token": await world.session("canary")})
    await api.delete("/api/0/users/made", headers=session)
    viewer = {"X-Auth-Token": await world.session("viewer")}
    code = totp.code_at(texts["offered secret"], int(time.time() // totp.STEP_SECONDS))
    await api.put("/api/0/users/me/second_factor", json={"code": code}, headers=viewer)
    repr((world.parts.config, world.security.sign_in))
    logging.getLogger("hbd").debug("%r", world.parts.config)


async def raising(call: Call) -> Any:
    raise RuntimeError("a bug")


async def not_storing(call: Call) -> Any:
    raise StorageError("the disk is full")


@pytest.fixture
async def broken(world: World) -> AsyncIterator[Api]:
    routes = [
        Route("POST", "/raise", raising, Action.ENTER, summary="Raises.", body=dict[str, str]),
        Route("POST", "/store", not_storing, Action.ENTER, summary="Fails.", body=dict[str, str]),
    ]
    async with TestClient(RealServer(application(world.parts, routes))) as client:
        yield client


async def test_s41_no_line_of_log_holds_a_secret(
    api: Api, broken: Api, world: World, canaries: Canaries, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await all_flows(api, world, canaries)
        for path in ("/raise", "/store"):
            headers = {"X-Auth-Token": canaries.texts["API token"]}
            await broken.post(f"{path}?token={canaries.texts['session']}", json=canaries.texts, headers=headers)
    written = "".join(form.format(record) for record in caplog.records for form in (_Text(False), _Json()))
    assert "a bug" in written and "Traceback" in written
    assert canaries.in_(written) == []


async def test_s41_the_audit_log_and_the_journal_hold_no_secret(api: Api, world: World, canaries: Canaries) -> None:
    await all_flows(api, world, canaries)
    await world.security.audit.write()
    told = "".join(map(repr, await world.store.audit.recent(1000)))
    told += "".join(map(repr, await world.store.messages.recent(1000)))
    assert "wrong password" in told
    assert canaries.in_(told) == []


async def test_s41_what_is_printed_of_the_config_holds_no_secret(canaries: Canaries, world: World) -> None:
    config = world.parts.config
    for text in (repr(config), str(config), f"{config}", repr(config.users), repr(config.notification_channels)):
        assert canaries.in_(text) == []


# ---------------------------------------------------------------------------------------------------- S43 in storage

KEPT_READABLE = {
    "secret of the second factor": "every code is computed from it",
    "offered secret": "once it is taken, it is one of these",
    "hash": "the password of a user of the config is compared with the file's at a reload",
}


async def test_s43_the_database_holds_no_secret_that_anybody_could_show(
    api: Api, world: World, canaries: Canaries, tmp_path: Path
) -> None:
    await all_flows(api, world, canaries)
    await world.security.audit.write()
    await world.security.accounts.save_uses(time.time())
    files = [path for path in tmp_path.iterdir() if path.name.startswith("hbd.db")]
    data = b"".join(path.read_bytes() for path in files)
    assert b"canary" in data
    found = [name for name, secret in canaries.texts.items() if secret.encode() in data]
    assert set(found) <= KEPT_READABLE.keys()
    raw_key = bytes.fromhex(canaries.texts["agent key"])
    assert raw_key not in data


async def test_s43_of_a_token_its_beginning_and_its_last_use_are_shown(api: Api, canaries: Canaries) -> None:
    await api.get("/api/0/hosts", headers={"X-Auth-Token": canaries.texts["API token"]})
    answer = await api.get("/api/0/users/me/tokens", headers={"X-Auth-Token": canaries.texts["session"]})
    (token,) = await answer.json()
    assert canaries.texts["API token"].startswith(token["start"])
    assert len(token["start"]) == 10
    assert (token["last_used"] is not None, token["last_address"]) == (True, "127.0.0.1")


async def test_s43_a_session_tells_where_it_is_used(api: Api, canaries: Canaries, world: World) -> None:
    await world.security.sign_in.trusted(
        world.security.accounts.require("canary"), "password", Visitor("192.0.2.77", "Firefox")
    )
    headers = {"X-Auth-Token": canaries.texts["session"]}
    found = await (await api.get("/api/0/users/me/sessions", headers=headers)).json()
    assert ("192.0.2.77", "Firefox") in [(session["address"], session["user_agent"]) for session in found]


# --------------------------------------------------------------------------------------------------- S44 comparisons

SECRET_WORDS = {"token", "mac", "digest", "signature", "secret", "code", "ticket", "hashed", "nonce", "state",
                "password", "hash", "shown", "tag", "proof", "key"}  # fmt: skip
HARMLESS = {
    "row.password != self._rows[row.id].password": "two hashes of ours: was the password changed?",
    "user.password != found.password": "two hashes of ours: was it changed since the ticket was given out?",
    "getpass.getpass('Once more: ') != password": "typed twice by the same person",
    "problem.key == key": "a key of the config file",
    "before.type == kind.key": "the type of a channel",
    "bare.type == Script.key": "the type of a channel",
    "field.key != key": "the name of a setting",
    "before.password != after.password": "two hashes: is the one in a file of settings another?",
    "key == Script.key": "the type of a channel",
    "key != Script.key": "the type of a channel",
    "rule.pattern[1] == key": "the name of something measured",
    "known.hash != key.hash": "two hashes of ours",
    "held.key.hash == key.hash": "two hashes of ours",
    "link.key.hash == key.hash": "two hashes of ours",
    "old.hash != kept": "two hashes of ours",
    "key.hash == kept": "two hashes of ours",
    "key.hash == lent": "two hashes of ours",
    "other.hash != taken": "two hashes of ours",
    "table.key == key": "the name of something measured",
    "token == self._token": "which following of a command the id of an event is from",
}


def compared(tree: ast.AST) -> list[str]:
    """Comparisons with == or != of something that is called like a secret, constants left out."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(isinstance(how, ast.Eq | ast.NotEq) for how in node.ops):
            sides = [node.left, *node.comparators]
            names = {getattr(side, "attr", getattr(side, "id", "")) for side in sides}
            if names & SECRET_WORDS and not any(isinstance(side, ast.Constant) for side in sides):
                found.append(ast.unparse(node))
    return found


def test_s44_secrets_are_looked_up_by_hash_or_compared_in_constant_time() -> None:
    sources = Path(hbd.__file__).parent.rglob("*.py")
    found = {text for path in sources for text in compared(ast.parse(path.read_text("utf-8")))}
    assert found <= HARMLESS.keys()


def test_s44_the_check_itself_finds_a_plain_comparison() -> None:
    assert compared(ast.parse("if given == self.token: pass")) == ["given == self.token"]
