"""The id_token: who signed it, and whether it was meant for us, now and here (OpenID Connect Core 1.0, 3.1.3.7)."""

from __future__ import annotations

import base64
import copy
import hmac
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from hbd.oidc.failure import BROKEN, SignInFailed, broken, shown

if TYPE_CHECKING:
    # joserfc takes 90 ms to load and is an extra: only a daemon with a provider, at its first sign-in, imports it.
    from joserfc.jwk import KeySet

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448"),
)
LEEWAY_SECONDS = 60
_MAX_HEADER_BYTES = 4096
_MIN_MODULUS_CHARACTERS = 342  # 2048 bits in base64url

T = TypeVar("T")
Time = Annotated[float, Meta(ge=0)]


class UnknownKey(SignInFailed):
    """None of the keys has made this signature. The provider may have newer ones."""


class Jwks(Struct):
    """RFC 7517 5."""

    keys: list[dict[str, Any]]


class _Header(Struct):
    alg: str
    kid: str | None = None


class Standard(Struct):
    """The claims that every id_token has, and those that bind it to one client and one sign-in."""

    iss: str
    sub: Annotated[str, Meta(min_length=1, max_length=255)]
    aud: str | list[str]
    exp: Time
    iat: Time
    nbf: Time = 0.0
    azp: str | None = None
    nonce: str | None = None


def keys_of(jwks: Jwks) -> KeySet:
    """The keys that can be used; others may be there. Slow at its first call, so call it in a thread."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from joserfc.errors import JoseError
    from joserfc.jwk import JWKRegistry, KeySet

    keys = []
    for key in jwks.keys:
        kind = key.get("kty")
        weak = kind == "RSA" and len(str(key.get("n", ""))) < _MIN_MODULUS_CHARACTERS
        if kind not in ("RSA", "EC", "OKP") or weak:
            continue
        try:
            keys.append(JWKRegistry.import_key(key))
        except (JoseError, UnsupportedAlgorithm, ValueError, TypeError, LookupError):
            continue
    return KeySet(keys)


def verified(token: str, keys: KeySet) -> dict[str, Any]:
    """The claims of a token that one of keys signed. They still may be for somebody else, or of another day."""
    from joserfc.errors import JoseError
    from joserfc.jws import JWSRegistry, deserialize_compact

    header = _header(token)
    if header.alg not in ALGORITHMS:
        raise broken(f"id_token: signed by {shown(header.alg, 40)}, which is not accepted")
    registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    registry.max_header_length = _MAX_HEADER_BYTES
    # Its name is deprecated, which makes joserfc warn at each use; providers use it still, and it is as good as ever.
    eddsa = copy.copy(JWSRegistry.algorithms["EdDSA"])
    eddsa.security_warning = None
    registry.algorithms = {**JWSRegistry.algorithms, "EdDSA": eddsa}
    try:
        payload = deserialize_compact(token, keys, registry=registry).payload
    except (JoseError, ValueError, TypeError) as error:
        key = "no key id" if header.kid is None else f"key {shown(header.kid, 80)}"
        raise UnknownKey(BROKEN, f"id_token: not verified ({key}): {shown(str(error))}") from error
    return _decode(payload or b"", dict[str, Any], "id_token")


def check(claims: dict[str, Any], *, issuer: str, client_id: str, nonce: str, now: float) -> Standard:
    """Raises SignInFailed unless the token is from issuer, for client_id and this very sign-in, and not expired."""
    try:
        said = msgspec.convert(claims, Standard)
    except (msgspec.ValidationError, OverflowError) as error:
        raise broken(f"id_token: {shown(str(error))}") from error
    audience = [said.aud] if isinstance(said.aud, str) else said.aud
    if said.iss != issuer:
        raise broken(f"id_token: iss is {shown(said.iss)}, not {issuer}")
    if client_id not in audience:
        raise broken(f"id_token: aud is {shown(str(said.aud))}, not {client_id}")
    if said.azp != client_id and (said.azp is not None or len(audience) > 1):
        raise broken(f"id_token: azp is {shown(str(said.azp))}, not {client_id}")
    if said.exp <= now - LEEWAY_SECONDS:
        raise broken(f"id_token: expired {now - said.exp:.0f} s ago; are both clocks right?")
    if max(said.iat, said.nbf) > now + LEEWAY_SECONDS:
        raise broken(f"id_token: of {max(said.iat, said.nbf) - now:.0f} s in the future; are both clocks right?")
    if not hmac.compare_digest((said.nonce or "").encode(), nonce.encode()):
        raise broken("id_token: nonce is not the one of this sign-in")
    return said


def _header(token: str) -> _Header:
    segment = token.partition(".")[0][:_MAX_HEADER_BYTES]
    try:
        raw = base64.b64decode(segment + "=" * (-len(segment) % 4), altchars="-_", validate=True)
    except ValueError as error:
        raise broken("id_token: not a JSON Web Token") from error
    return _decode(raw, _Header, "id_token: header")


def _decode(raw: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise broken(f"{what}: {shown(str(error))}") from error
