"""The flow: a browser goes to the provider, comes back with a code, and the provider says who that was."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode, urlsplit, urlunsplit

from msgspec import Struct

from hbd.config.structs import Oidc
from hbd.oidc import id_token
from hbd.oidc.failure import SignInFailed, broken, shown
from hbd.oidc.kept import Kept
from hbd.oidc.metadata import PATH, Metadata, checked
from hbd.oidc.pending import Flow, Pending, digest, random_text
from hbd.oidc.person import Person, person_of
from hbd.oidc.transport import Transport

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

_KEPT_SECONDS = 3600.0
_NEW_KEYS_SECONDS = 60.0
_ERROR_CODE = re.compile(r"[a-z_]{1,40}")
_ERRORS = {
    "access_denied": "The sign-in was cancelled, or the provider does not let you in.",
    "temporarily_unavailable": "The sign-in provider is busy. Try again in a moment.",
    "server_error": "The sign-in provider has failed. Try again in a moment.",
}


class Begun(Struct, frozen=True):
    """url: where the browser goes. browser: what it must bring back, in a cookie, and nobody else may see."""

    url: str
    browser: str


class _Tokens(Struct):
    """RFC 6749 5.1."""

    id_token: str
    access_token: str = ""


class Provider:
    """One provider, for as long as its settings hold. redirect_uri: where it sends browsers back to."""

    def __init__(self, settings: Oidc, redirect_uri: str) -> None:
        assert settings.issuer is not None and settings.client_id is not None
        self._settings = settings
        self._issuer = settings.issuer
        self._client_id = settings.client_id
        self._redirect_uri = redirect_uri
        self._transport = Transport()
        self._metadata = Kept[Metadata]()
        self._keys = Kept["KeySet"]()
        self._pending = Pending()

    async def begin(self, next_path: str, now: float, origin: str = "") -> Begun:
        """Starts one sign-in, to be finished within ``FLOW_SECONDS``. next_path: where to go then; comes back as it is.

        now: Unix seconds. origin: where the browser is; each place has room of its own for sign-ins under way.
        Raises SignInFailed when the provider cannot be used.
        """
        metadata = await self._metadata.get(now, _KEPT_SECONDS, self._discover)
        browser, nonce, verifier = random_text(), random_text(), secrets.token_urlsafe(64)
        flow = Flow(digest(browser), nonce, verifier, metadata, next_path, now, origin)
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(self._settings.scopes),
            "state": self._pending.add(flow),
            "nonce": nonce,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        endpoint = urlsplit(metadata.authorization_endpoint)
        joined = "&".join(part for part in (endpoint.query, urlencode(query)) if part)
        return Begun(urlunsplit(endpoint._replace(query=joined, fragment="")), browser)

    async def finish(self, query: Mapping[str, str], browser: str, now: float) -> Person:
        """Who has come back. query: of the callback; browser: from the cookie, "" without one; now: Unix seconds.

        Raises SignInFailed. Whatever comes of it, the same query never works again.
        """
        flow = self._pending.take(query.get("state", ""), now)
        if flow is None:
            raise SignInFailed(
                "This sign-in is no longer known: it took too long, or it is finished already. Begin again.",
                "callback: unknown state",
            )
        if not flow.is_of(browser):
            raise SignInFailed(
                "This sign-in was begun in another browser or another tab. Begin again.",
                "callback: the cookie is not the one of this state",
            )
        _check_answer(query, flow.metadata)
        tokens = await self._redeem(query["code"], flow)
        claims = await self._verify(tokens.id_token, flow, now)
        said = id_token.check(claims, issuer=flow.metadata.issuer, client_id=self._client_id, nonce=flow.nonce, now=now)
        claims = await self._complete(claims, said.sub, tokens.access_token, flow.metadata)
        return person_of(claims, self._settings, f"{said.iss}|{said.sub}", flow.next_path)

    async def close(self) -> None:
        await self._metadata.close()
        await self._keys.close()
        await self._transport.close()

    async def _discover(self) -> Metadata:
        return checked(await self._transport.get(self._issuer + PATH, Metadata, "discovery"), self._issuer)

    async def _redeem(self, code: str, flow: Flow) -> _Tokens:
        """The tokens for a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": flow.verifier,
        }
        authorization = ""
        methods = flow.metadata.token_endpoint_auth_methods_supported
        if self._settings.client_secret is None:
            form["client_id"] = self._client_id
        elif "client_secret_basic" in methods:
            authorization = _basic(self._client_id, self._settings.client_secret.reveal())
        elif "client_secret_post" in methods:
            form |= {"client_id": self._client_id, "client_secret": self._settings.client_secret.reveal()}
        else:
            raise broken(f"token endpoint: takes no client_secret, only {shown(', '.join(methods))}")
        url = flow.metadata.token_endpoint
        return await self._transport.post(url, form, _Tokens, "token endpoint", authorization=authorization)

    async def _verify(self, token: str, flow: Flow, now: float) -> dict[str, Any]:
        """The claims, once a key of the provider has verified the token. New keys are fetched once a minute at most."""
        ask = partial(self._fetch_keys, flow.metadata.jwks_uri)
        try:
            return id_token.verified(token, await self._keys.get(now, _KEPT_SECONDS, ask))
        except id_token.UnknownKey:
            return id_token.verified(token, await self._keys.get(now, _NEW_KEYS_SECONDS, ask))

    async def _fetch_keys(self, url: str) -> KeySet:
        return await asyncio.to_thread(id_token.keys_of, await self._transport.get(url, id_token.Jwks, "keys"))

    async def _complete(
        self, claims: dict[str, Any], sub: str, access_token: str, metadata: Metadata
    ) -> dict[str, Any]:
        """The claims, with those of userinfo where one that we need is missing."""
        needed = {self._settings.name_claim}
        if self._settings.name_claim == "email":
            needed.add("email_verified")
        if self._settings.roles:
            needed.add(self._settings.groups_claim)
        if needed <= claims.keys() or metadata.userinfo_endpoint is None or not access_token:
            return claims
        more = await self._transport.get(
            metadata.userinfo_endpoint, dict[str, Any], "userinfo", authorization=f"Bearer {access_token}"
        )
        if more.get("sub") != sub:
            raise broken("userinfo: sub is not that of the id_token")
        return more | claims


def _check_answer(query: Mapping[str, str], metadata: Metadata) -> None:
    """That the answer is this provider's (RFC 9207), no error, and has a code."""
    issuer = query.get("iss")
    if issuer != metadata.issuer and (issuer is not None or metadata.authorization_response_iss_parameter_supported):
        raise broken(f"callback: iss is {shown(str(issuer))}, not {metadata.issuer}")
    error = query.get("error")
    if error is not None:
        code = error if _ERROR_CODE.fullmatch(error) else "an unknown one"
        reason = _ERRORS.get(error, f"The sign-in provider answered with an error: {code}.")
        detail = f"callback: {shown(error, 60)} {shown(query.get('error_description', ''))}"
        raise SignInFailed(reason, detail.rstrip())
    if not query.get("code"):
        raise broken("callback: there is neither a code nor an error")


def _challenge(verifier: str) -> str:
    """RFC 7636 4.2, S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _basic(client_id: str, secret: str) -> str:
    """RFC 6749 2.3.1: both are form-encoded first."""
    return "Basic " + base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()
