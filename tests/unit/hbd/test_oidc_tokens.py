"""Sign-in at an OpenID provider: which tokens are believed, and who comes of their claims."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oidc_provider import REDIRECT_URI, OidcProvider, new_key, visit

from hbd.config.structs import Oidc
from hbd.oidc import Person, Provider, SignInFailed
from hbd.oidc.id_token import Jwks, UnknownKey, check, keys_of, verified
from hbd.oidc.person import person_of

NOW = 1_750_000_000.0


@pytest.fixture
async def elsewhere() -> AsyncIterator[OidcProvider]:
    """The provider, on its own side of the wire."""
    provider = OidcProvider()
    provider.clock = lambda: NOW
    async with provider.running():
        yield provider


@pytest.fixture
async def here(elsewhere: OidcProvider) -> AsyncIterator[Provider]:
    made = Provider(elsewhere.settings(), REDIRECT_URI)
    yield made
    await made.close()


async def sign_in(here: Provider, now: float = NOW) -> Person:
    begun = await here.begin("/", now)
    return await here.finish(await visit(begun.url), begun.browser, now)


async def refusal(here: Provider) -> str:
    """What the log is told."""
    with pytest.raises(SignInFailed) as caught:
        await sign_in(here)
    return caught.value.detail


# ------------------------------------------------------------------------------------------------------ signatures


@pytest.mark.parametrize("alg", ["RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"])
async def test_a_signature_of_the_provider_is_believed(alg: str, here: Provider, elsewhere: OidcProvider) -> None:
    elsewhere.rotate(alg)
    assert (await sign_in(here)).name == "alice"


@pytest.mark.parametrize("alg", ["none", "HS256"])
async def test_a_signature_that_everybody_can_make_is_refused(
    alg: str, here: Provider, elsewhere: OidcProvider
) -> None:
    elsewhere.header["alg"] = alg
    assert f"signed by {alg}, which is not accepted" in await refusal(here)


async def test_a_key_that_the_provider_does_not_publish_is_refused(here: Provider, elsewhere: OidcProvider) -> None:
    elsewhere.published = elsewhere.keys
    elsewhere.rotate("ES256")
    assert "not verified" in await refusal(here)


async def test_a_key_that_borrows_a_published_name_is_refused(here: Provider, elsewhere: OidcProvider) -> None:
    elsewhere.rotate("ES256")
    elsewhere.published = [new_key("ES256", str(elsewhere.keys[0].kid))]
    assert "bad_signature" in await refusal(here)


async def test_new_keys_are_fetched_when_they_are_needed(here: Provider, elsewhere: OidcProvider) -> None:
    await sign_in(here)
    elsewhere.rotate("ES256")
    elsewhere.clock = lambda: NOW + 61
    assert (await sign_in(here, NOW + 61)).name == "alice"


async def test_new_keys_are_found_when_tokens_name_none(here: Provider, elsewhere: OidcProvider) -> None:
    elsewhere.header["kid"] = None
    await sign_in(here)
    elsewhere.rotate("ES256")
    elsewhere.clock = lambda: NOW + 61
    assert (await sign_in(here, NOW + 61)).name == "alice"


async def test_unknown_keys_make_nobody_ask_more_than_once_a_minute(here: Provider, elsewhere: OidcProvider) -> None:
    await sign_in(here)
    elsewhere.header["kid"] = "unheard-of"
    for _ in range(5):
        await refusal(here)
    assert elsewhere.asked.count("/keys") == 1


async def test_keys_are_kept_for_an_hour(here: Provider, elsewhere: OidcProvider) -> None:
    for now in (NOW, NOW + 3599, NOW + 3600):
        elsewhere.clock = lambda now=now: now  # type: ignore[misc]
        await sign_in(here, now)
    assert elsewhere.asked.count("/keys") == 2


async def test_keys_of_other_kinds_are_passed_over(here: Provider, elsewhere: OidcProvider) -> None:
    elsewhere.odd_keys = [
        {},
        {"kty": "AKP", "alg": "ML-DSA-65", "pub": "x"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "first"},
        {"kty": ["RSA"]},
        {"kty": "RSA", "n": 5, "e": None},
        {"kty": "RSA", "n": "!" * 400, "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
        {"kty": "EC", "crv": "P-999", "x": "AAAA", "y": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
    ]
    assert (await sign_in(here)).name == "alice"


def test_short_rsa_keys_are_passed_over() -> None:
    assert not keys_of(Jwks([{"kty": "RSA", "kid": "a", "n": "s" * 171, "e": "AQAB"}]))


@pytest.mark.parametrize(
    "header", [{"x5t": "abc", "nonce": "n"}, {"typ": "at+jwt"}, {"kid": "first", "cty": "x" * 900}]
)
async def test_further_words_in_the_header_do_no_harm(
    header: dict[str, Any], here: Provider, elsewhere: OidcProvider
) -> None:
    elsewhere.header = header
    assert (await sign_in(here)).name == "alice"


@pytest.mark.parametrize("token", ["x", "e30.e30.e30", "a.b.c.d.e", "bnVsbA..", "ImFsZyI..", "é.é.é", "." * 3])
async def test_what_is_no_token_is_refused(token: str, here: Provider, elsewhere: OidcProvider) -> None:
    elsewhere.id_token = token
    assert (await refusal(here)).startswith("id_token: ")


KEYS = keys_of(Jwks([new_key("ES256", "k").as_dict(private=False)]))


@settings(deadline=None, derandomize=True)
@given(st.text() | st.from_regex(r"\A[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\Z"))
def test_no_token_makes_anything_but_a_refusal(token: str) -> None:
    with pytest.raises(SignInFailed):
        verified(token, KEYS)


@pytest.mark.parametrize("crit", [["exp"], 5, [[]], {}, None])
def test_a_header_that_demands_what_we_do_not_know_is_refused(crit: object) -> None:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "ES256", "kid": "k", "crit": crit}).encode()).rstrip(b"=")
    with pytest.raises(UnknownKey):
        verified(f"{header.decode()}.e30.AAAA", KEYS)


# ---------------------------------------------------------------------------------------------------------- claims


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"iss": "https://evil.example"}, "iss is https://evil.example"),
        ({"iss": None}, "`iss`"),
        ({"aud": "another"}, "aud is another"),
        ({"aud": ["another", "third"]}, "aud is"),
        ({"aud": []}, "aud is"),
        ({"aud": "hbd2"}, "aud is hbd2"),
        ({"aud": None}, "`aud`"),
        ({"aud": ["hbd", "another"]}, "azp is None"),
        ({"aud": ["hbd", "another"], "azp": "another"}, "azp is another"),
        ({"azp": "another"}, "azp is another"),
        ({"exp": NOW - 61}, "expired 61 s ago"),
        ({"exp": NOW - 60}, "expired 60 s ago"),
        ({"exp": None}, "`exp`"),
        ({"exp": "tomorrow"}, "$.exp"),
        ({"exp": True}, "$.exp"),
        ({"exp": 10**400}, "id_token"),
        ({"iat": NOW + 61}, "of 61 s in the future"),
        ({"iat": None}, "`iat`"),
        ({"nbf": NOW + 61}, "of 61 s in the future"),
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"nonce": "é"}, "nonce"),
        ({"sub": None}, "`sub`"),
        ({"sub": ""}, "$.sub"),
        ({"sub": "x" * 256}, "$.sub"),
        ({"sub": 4711}, "$.sub"),
    ],
)
async def test_a_token_that_is_not_for_us_now_is_refused(
    claims: dict[str, Any], words: str, here: Provider, elsewhere: OidcProvider
) -> None:
    elsewhere.overrides = claims
    assert words in await refusal(here)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["hbd"]},
        {"aud": ["another", "hbd"], "azp": "hbd"},
        {"azp": "hbd"},
        {"exp": NOW - 59},
        {"exp": NOW + 0.5},
        {"iat": NOW + 60},
        {"nbf": NOW + 60},
    ],
)
async def test_a_token_for_us_and_now_is_believed(
    claims: dict[str, Any], here: Provider, elsewhere: OidcProvider
) -> None:
    elsewhere.overrides = claims
    assert (await sign_in(here)).name == "alice"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
SOME = ("iss", "sub", "aud", "exp", "iat", "nbf", "azp", "nonce", "preferred_username", "name", "groups")


@settings(deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(SOME), JSON))
def test_no_claims_make_anything_but_a_person_or_a_refusal(odd: dict[str, Any]) -> None:
    usual = {"iss": "i", "sub": "s", "aud": "hbd", "exp": NOW + 1, "iat": NOW, "nonce": "n"}
    try:
        check(usual | odd, issuer="i", client_id="hbd", nonce="n", now=NOW)
        person_of(odd, Oidc(), "i|s", "/")
    except SignInFailed as failed:
        assert failed.detail.isprintable() and len(failed.detail) < 600


# ------------------------------------------------------------------------------------------------------- userinfo


@pytest.mark.parametrize("told", [set(), {"preferred_username"}, {"groups"}])
async def test_what_the_token_leaves_out_comes_from_userinfo(
    told: set[str], here: Provider, elsewhere: OidcProvider
) -> None:
    elsewhere.in_id_token = told
    person = await sign_in(here)
    assert (person.name, *person.groups) == ("alice", "staff")


async def test_userinfo_is_not_asked_for_what_is_known(here: Provider, elsewhere: OidcProvider) -> None:
    await sign_in(here)
    assert "/userinfo" not in elsewhere.asked


async def test_userinfo_is_not_asked_for_groups_that_give_no_role(elsewhere: OidcProvider) -> None:
    elsewhere.in_id_token = {"preferred_username"}
    here = Provider(elsewhere.settings(roles={}, default_role="viewer"), REDIRECT_URI)
    assert (await sign_in(here)).groups == frozenset()
    assert "/userinfo" not in elsewhere.asked
    await here.close()


async def test_the_token_is_believed_before_userinfo(here: Provider, elsewhere: OidcProvider) -> None:
    elsewhere.in_id_token = {"preferred_username"}
    elsewhere.userinfo = {"preferred_username": "mallory"}
    assert (await sign_in(here)).name == "alice"


@pytest.mark.parametrize("sub", ["4712", None, ""])
async def test_userinfo_about_somebody_else_is_refused(
    sub: str | None, here: Provider, elsewhere: OidcProvider
) -> None:
    elsewhere.in_id_token = set()
    elsewhere.userinfo = {"sub": sub}
    assert "userinfo: sub" in await refusal(here)


async def test_a_provider_without_userinfo_gives_the_default_role_its_say(
    here: Provider, elsewhere: OidcProvider
) -> None:
    elsewhere.metadata["userinfo_endpoint"] = None
    elsewhere.in_id_token = {"preferred_username"}
    assert (await sign_in(here)).groups == frozenset()


# --------------------------------------------------------------------------------------------------------- persons


def person(claims: dict[str, Any], settings: Oidc | None = None) -> Person:
    return person_of(claims, settings or Oidc(), "i|s", "/")


@pytest.mark.parametrize("name", ["alice", "Alice.B", "a@example.org", "x" * 64])
def test_a_name_that_can_be_a_user_name_is_taken_as_it_is(name: str) -> None:
    assert person({"preferred_username": name}).name == name


@pytest.mark.parametrize("name", ["me", "a b", "..", "x" * 65, "a/b", "alice\n", "ali\u0441e", "\u202ealice"])
def test_a_name_that_cannot_be_a_user_name_is_refused(name: str) -> None:
    with pytest.raises(SignInFailed) as caught:
        person({"preferred_username": name})
    assert "cannot be a user name here" in caught.value.reason


@pytest.mark.parametrize("name", [None, "", 5, ["alice"]])
def test_nobody_is_guessed_when_the_name_is_missing(name: object) -> None:
    with pytest.raises(SignInFailed) as caught:
        person({"preferred_username": name, "email": "root@example.org", "email_verified": True, "sub": "root"})
    assert "auth.oidc.name_claim" in caught.value.detail


@pytest.mark.parametrize("verified", [True, "true"])
def test_a_verified_address_may_be_the_name(verified: object) -> None:
    claims = {"email": "alice@example.org", "email_verified": verified}
    assert person(claims, Oidc(name_claim="email")).name == "alice@example.org"


@pytest.mark.parametrize("verified", [None, False, "false", 1.5, "yes"])
def test_an_address_that_anybody_may_claim_is_refused(verified: object) -> None:
    with pytest.raises(SignInFailed) as caught:
        person({"email": "alice@example.org", "email_verified": verified}, Oidc(name_claim="email"))
    assert "not verified your email" in caught.value.reason


async def test_whether_an_address_is_verified_may_come_from_userinfo(elsewhere: OidcProvider) -> None:
    elsewhere.claims |= {"email": "alice@example.org", "email_verified": True}
    elsewhere.in_id_token = {"email", "groups"}
    here = Provider(elsewhere.settings(name_claim="email"), REDIRECT_URI)
    assert (await sign_in(here)).name == "alice@example.org"
    await here.close()


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        (["a", "b", "a"], {"a", "b"}),
        ([], set()),
        (None, set()),
        ("a", {"a"}),
        ("a,b", {"a,b"}),
        ({"a": {"org": "1"}, "b": {}}, {"a", "b"}),
    ],
)
def test_groups_are_names(value: object, groups: set[str]) -> None:
    assert person({"preferred_username": "alice", "groups": value}).groups == groups


@pytest.mark.parametrize("value", [5, True, ["a", 5], [["a"]]])
def test_groups_that_are_no_names_are_refused(value: object) -> None:
    with pytest.raises(SignInFailed) as caught:
        person({"preferred_username": "alice", "groups": value})
    assert "auth.oidc.groups_claim" in caught.value.detail


def test_groups_come_from_the_claim_that_the_config_names() -> None:
    claims = {"preferred_username": "alice", "groups": ["no"], "https://id.example/roles": ["yes"]}
    assert person(claims, Oidc(groups_claim="https://id.example/roles")).groups == {"yes"}


@pytest.mark.parametrize(
    ("name", "full_name"),
    [("Alice Liddell", "Alice Liddell"), ("A\r\nB\u202e", "AB"), ("x" * 300, "x" * 200), (None, ""), (5, "")],
)
def test_a_full_name_is_one_line_of_what_can_be_seen(name: object, full_name: str) -> None:
    assert person({"preferred_username": "alice", "name": name}).full_name == full_name
