"""An OpenID provider for tests: discovery, authorization, tokens, keys, userinfo; strict where the standards are.

It signs in ``claims`` without asking, and misbehaves as its attributes say.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
import secrets
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from hbd.config.structs import Oidc, Secret

Key = RSAKey | ECKey | OKPKey


REDIRECT_URI = "http://127.0.0.1:1/login/oidc/callback"


def new_key(alg: str, kid: str) -> Key:
    parameters: Any = {"kid": kid, "use": "sig", "alg": alg}
    if alg.startswith("ES"):
        return ECKey.generate_key({"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[alg], parameters)
    if alg in ("EdDSA", "Ed25519"):
        return OKPKey.generate_key("Ed25519", parameters)
    return RSAKey.generate_key(2048, parameters)


# Making an RSA key takes a while, so all providers start with the same one.
_FIRST_KEY = new_key("RS256", "first")


@dataclass
class Grant:
    """What a code stands for."""

    redirect_uri: str
    nonce: str
    challenge: str
    claims: dict[str, Any]


class OidcProvider:
    """One client is registered. After ``claims`` come the ways to misbehave, all off.

    published: keys that are told; None: those that sign. odd_keys: further entries, as they are.
    in_id_token: names of the claims that the id_token has; None: all. The others are at userinfo alone.
    overrides: claims put into the id_token whatever they were; None leaves one out. header: likewise for its header.
    faults: path to a handler that answers in place of the provider's own.
    """

    def __init__(self, client_id: str = "hbd", client_secret: str | None = "s3cret/ +:é") -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.redirect_uris = {REDIRECT_URI}
        self.auth_methods = ["client_secret_basic", "client_secret_post"]
        self.claims: dict[str, Any] = {"sub": "4711", "preferred_username": "alice", "groups": ["staff"]}
        self.in_id_token: set[str] | None = None
        self.sends_iss = True
        self.slash = ""
        self.clock: Callable[[], float] = time.time

        self.alg = "RS256"
        self.keys: list[Key] = [_FIRST_KEY]
        self.published: list[Key] | None = None
        self.odd_keys: list[Any] = []
        self.overrides: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.callback: dict[str, str | None] = {}
        self.userinfo: dict[str, Any] = {}
        self.id_token: str | None = None
        self.faults: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {}

        self.asked: list[str] = []
        self.secrets_seen: set[str] = set()
        self.url = ""
        self._grants: dict[str, Grant] = {}
        self._sessions: dict[str, dict[str, Any]] = {}

    @property
    def issuer(self) -> str:
        return self.url + self.slash

    def settings(self, **changes: Any) -> Oidc:
        """The config of a daemon that is a client of this provider."""
        secret = None if self.client_secret is None else Secret(self.client_secret)
        usual = {"issuer": self.url, "client_id": self.client_id, "client_secret": secret, "roles": {"staff": "viewer"}}
        return Oidc(**usual | changes)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[OidcProvider]:
        """Serves on a loopback port; ``url`` says which."""
        server = TestServer(self.make_app())
        await server.start_server()
        self.url = str(server.make_url("")).rstrip("/")
        try:
            yield self
        finally:
            await server.close()

    def make_app(self) -> web.Application:
        app = web.Application(middlewares=[self._misbehave])
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_get("/keys", self._jwks)
        app.router.add_get("/userinfo", self._userinfo)
        return app

    def rotate(self, alg: str | None = None) -> None:
        """Signs with a new key from now on; the old one is published no more."""
        self.alg = alg or self.alg
        self.keys = [new_key(self.alg, secrets.token_hex(4))]

    @web.middleware
    async def _misbehave(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.asked.append(request.path)
        return await self.faults.get(request.path, handler)(request)

    async def _discovery(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.url}/authorize?tenant=1",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "userinfo_endpoint": f"{self.url}/userinfo",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [self.alg],
                "token_endpoint_auth_methods_supported": self.auth_methods,
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": self.sends_iss,
            }
            | self.metadata
        )

    async def _authorize(self, request: web.Request) -> web.Response:
        query = request.query
        redirect_uri = query.get("redirect_uri", "")
        if query.get("client_id") != self.client_id or redirect_uri not in self.redirect_uris:
            return web.Response(status=400, text="unknown client or redirect_uri")
        answer = {"state": query["state"]} | ({"iss": self.issuer} if self.sends_iss else {})
        wrong = (
            query.get("response_type") != "code"
            or "openid" not in query.get("scope", "").split()
            or query.get("code_challenge_method") != "S256"
            or len(query.get("code_challenge", "")) != 43
            or query.get("tenant") != "1"
        )
        if wrong:
            answer["error"] = "invalid_request"
        else:
            answer["code"] = code = secrets.token_urlsafe(16)
            self.secrets_seen.add(code)
            self._grants[code] = Grant(redirect_uri, query["nonce"], query["code_challenge"], dict(self.claims))
        sent = {name: value for name, value in (answer | self.callback).items() if value is not None}
        raise web.HTTPFound(f"{redirect_uri}?{urlencode(sent)}")

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        fields = {name: str(value) for name, value in form.items()}
        self.secrets_seen.add(fields.get("code_verifier", ""))
        if not self._is_client(request, fields):
            return web.json_response({"error": "invalid_client"}, status=401)
        grant = self._grants.pop(fields.get("code", ""), None)
        challenge = _base64(hashlib.sha256(fields.get("code_verifier", "").encode()).digest())
        if (
            fields.get("grant_type") != "authorization_code"
            or grant is None
            or grant.redirect_uri != fields.get("redirect_uri")
            or grant.challenge != challenge
        ):
            return web.json_response(
                {"error": "invalid_grant", "error_description": "no such code\nor another client's"}, status=400
            )
        access_token = secrets.token_urlsafe(16)
        self._sessions[access_token] = grant.claims
        id_token = self.id_token or self._signed(grant)
        self.secrets_seen |= {access_token, id_token}
        return web.json_response({"access_token": access_token, "token_type": "Bearer", "id_token": id_token})

    def _is_client(self, request: web.Request, fields: Mapping[str, str]) -> bool:
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if self.client_secret is None:
            return not scheme and fields.get("client_id") == self.client_id and "client_secret" not in fields
        if scheme == "Basic" and "client_secret_basic" in self.auth_methods and "client_secret" not in fields:
            user, _, password = base64.b64decode(credentials).decode().partition(":")
            return (unquote_plus(user), unquote_plus(password)) == (self.client_id, self.client_secret)
        if scheme or "client_secret_post" not in self.auth_methods:
            return False
        return (fields.get("client_id"), fields.get("client_secret")) == (self.client_id, self.client_secret)

    def _signed(self, grant: Grant) -> str:
        now = int(self.clock())
        names = grant.claims.keys() if self.in_id_token is None else {"sub"} | self.in_id_token
        told = {name: value for name, value in grant.claims.items() if name in names}
        binding = {"iss": self.issuer, "aud": self.client_id, "exp": now + 300, "iat": now, "nonce": grant.nonce}
        claims = {k: v for k, v in (told | binding | self.overrides).items() if v is not None}
        header = {"alg": self.alg, "kid": self.keys[-1].kid} | self.header
        header = {k: v for k, v in header.items() if v is not None}
        signed = f"{_segment(header)}.{_segment(claims)}"
        if header["alg"] == "none":
            return f"{signed}."
        if header["alg"] == "HS256":
            # Whoever takes this from a provider of public keys lets everybody sign: the public key is the secret.
            public = self.keys[-1].as_pem(private=False)
            return f"{signed}.{_base64(hmac.digest(public, signed.encode(), 'sha256'))}"
        registry = jws.JWSRegistry(algorithms=[header["alg"]], strict_check_header=False)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "EdDSA is deprecated")  # and in use
            return jwt.encode(header, claims, self.keys[-1], registry=registry)

    async def _jwks(self, _: web.Request) -> web.Response:
        keys = self.keys if self.published is None else self.published
        return web.json_response({"keys": [key.as_dict(private=False) for key in keys] + self.odd_keys})

    async def _userinfo(self, request: web.Request) -> web.Response:
        claims = self._sessions.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if claims is None:
            return web.json_response({"error": "invalid_token"}, status=401)
        return web.json_response(claims | self.userinfo)


def _segment(part: dict[str, Any]) -> str:
    return _base64(json.dumps(part).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def visit(url: str) -> dict[str, str]:
    """What a browser brings back from there: the query of the redirect."""
    async with aiohttp.ClientSession() as browser, browser.get(url, allow_redirects=False) as answer:
        assert answer.status == 302, await answer.text()
        return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


# ------------------------------------------------------------------------------------------------------------ faults


async def hang(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


async def fail(_: web.Request) -> web.Response:
    return web.Response(status=500, text="<h1>oops</h1>")


async def page(_: web.Request) -> web.Response:
    return web.Response(text="<h1>please sign in</h1>", content_type="text/html")


async def no_json(_: web.Request) -> web.Response:
    return web.Response(text='{"issuer": ', content_type="application/json")


async def deep(_: web.Request) -> web.Response:
    return web.Response(text='{"x": ' + "[" * 200_000, content_type="application/json")


async def packed(_: web.Request) -> web.Response:
    """Much in little, unasked."""
    body = gzip.compress(b'{"keys": [], "id_token": "x.y.z"' + b" " * 10_000_000 + b"}")
    return web.Response(body=body, content_type="application/json", headers={"Content-Encoding": "gzip"})


async def huge(request: web.Request) -> web.StreamResponse:
    """Never ends, until the other side has gone away."""
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    while True:
        await answer.write(b" " * 65536)


async def elsewhere(_: web.Request) -> web.Response:
    raise web.HTTPFound("/keys")
