"""Sign-in at an OpenID Connect provider: code flow with PKCE (OpenID Connect Core 1.0, RFC 7636, RFC 9207).

``provider`` runs the flow, ``pending`` remembers those begun, ``metadata`` and ``id_token`` check what the provider
says, ``person`` makes somebody of its claims, ``transport`` speaks HTTP. None of it knows the pages of hbd.
"""

from __future__ import annotations

from hbd.oidc.failure import SignInFailed
from hbd.oidc.pending import FLOW_SECONDS
from hbd.oidc.person import Person
from hbd.oidc.provider import Begun, Provider

__all__ = ["FLOW_SECONDS", "Begun", "Person", "Provider", "SignInFailed"]
