"""What the provider says of itself (OpenID Connect Discovery 1.0)."""

from __future__ import annotations

from urllib.parse import urlsplit

from msgspec import Struct

from hbd.config.checks import is_private_url
from hbd.oidc.failure import broken, shown

PATH = "/.well-known/openid-configuration"


class Metadata(Struct, frozen=True):
    """issuer: as the provider writes it, which is how its tokens bear it. Defaults are those of the standard."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


def checked(metadata: Metadata, issuer: str) -> Metadata:
    """The same, when it is that of issuer and all of its endpoints may be trusted with a sign-in."""
    # The slash at the end does not count: the config leaves it out, and it changes nothing about who answered.
    if metadata.issuer.rstrip("/") != issuer:
        raise broken(f"discovery: issuer is {shown(metadata.issuer)}, auth.oidc.issuer is {issuer}")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
        url = getattr(metadata, name)
        if url is not None and not _is_fit(url, issuer):
            raise broken(f"discovery: {name} is {shown(url)}, which is not https")
    return metadata


def _is_fit(url: str, issuer: str) -> bool:
    """A provider elsewhere has no business on this machine; one on this machine may use plain HTTP within it."""
    return is_private_url(url) and (issuer.startswith("http:") or urlsplit(url).scheme == "https")
