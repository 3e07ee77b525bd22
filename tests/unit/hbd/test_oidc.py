"""Sign-in at an OpenID provider: the way there and back."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import oidc_provider
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from oidc_provider import REDIRECT_URI, OidcProvider, visit

from hbd.config.structs import Oidc
from hbd.oidc import FLOW_SECONDS, Begun, Person, Provider, SignInFailed, pending, transport
from hbd.oidc.metadata import Metadata, checked

NOW = 1_750_000_000.0
Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def elsewhere() -> AsyncIterator[OidcProvider]:
    """The provider, on its own side of the wire."""
    provider = OidcProvider()
    provider.clock = lambda: NOW
    async with provider.running():
        yield provider


@pytest.fixture
async def here(elsewhere: OidcProvider) -> AsyncIterator[Provider]:
    async with client(elsewhere.settings()) as made:
        yield made


@asynccontextmanager
async def client(settings: Oidc) -> AsyncIterator[Provider]:
    made = Provider(settings, REDIRECT_URI)
    yield made
    await made.close()


async def sign_in(here: Provider, now: float = NOW) -> Person:
    begun = await here.begin("/hosts", now)
    return await here.finish(await visit(begun.url), begun.browser, now)


async def failure(signing_in: Awaitable[Any]) -> SignInFailed:
    with pytest.raises(SignInFailed) as caught:
        await signing_in
    return caught.value


def query_of(begun: Begun) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(begun.url).query).items()}


# ---------------------------------------------------------------------------------------------------------- there


async def test_somebody_is_signed_in(here: Provider, elsewhere: OidcProvider) -> None:
    elsewhere.claims |= {"name": "Alice A. Liddell"}
    assert await sign_in(here) == Person(
        subject=f"{elsewhere.url}|4711",
        name="alice",
        full_name="Alice A. Liddell",
        groups=frozenset({"staff"}),
        next_path="/hosts",
    )


async def test_the_query_of_the_authorization_endpoint_is_kept(here: Provider) -> None:
    assert query_of(await here.begin("/", NOW))["tenant"] == "1"


async def test_no_sign_in_shares_a_secret_with_another(here: Provider) -> None:
    first, second = [await here.begin("/", NOW) for _ in range(2)]
    names = ("state", "nonce", "code_challenge")
    assert first.browser != second.browser
    assert all(query_of(first)[name] != query_of(second)[name] for name in names)


async def test_the_url_holds_nothing_that_only_the_browser_may_know(here: Provider) -> None:
    begun = await here.begin("/", NOW)
    assert begun.browser not in begun.url


async def test_the_wanted_scopes_are_asked_for(elsewhere: OidcProvider) -> None:
    async with client(elsewhere.settings(scopes=("openid", "groups"))) as here:
        assert query_of(await here.begin("/", NOW))["scope"] == "openid groups"


async def test_the_provider_is_discovered_once_an_hour(here: Provider, elsewhere: OidcProvider) -> None:
    for now in (NOW, NOW + 3599, NOW + 3600):
        await here.begin("/", now)
    assert elsewhere.asked == ["/.well-known/openid-configuration"] * 2


async def test_many_who_begin_at_once_ask_the_provider_once(here: Provider, elsewhere: OidcProvider) -> None:
    await asyncio.gather(*(here.begin("/", NOW) for _ in range(50)))
    assert len(elsewhere.asked) == 1


async def test_who_gives_up_takes_nobody_along(here: Provider) -> None:
    impatient, patient = [asyncio.create_task(here.begin("/", NOW)) for _ in range(2)]
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).url
    assert (await asyncio.gather(impatient, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_a_provider_that_is_back_is_asked_again(here: Provider, elsewhere: OidcProvider) -> None:
    elsewhere.faults["/.well-known/openid-configuration"] = oidc_provider.fail
    await failure(here.begin("/", NOW))
    elsewhere.faults.clear()
    assert (await sign_in(here)).name == "alice"


async def test_an_issuer_that_ends_in_a_slash_is_the_one_in_the_config(here: Provider, elsewhere: OidcProvider) -> None:
    elsewhere.slash = "/"
    assert (await sign_in(here)).subject == f"{elsewhere.url}/|4711"


@pytest.mark.parametrize("issuer", ["https://evil.example", "", "http://127.0.0.1", "//"])
async def test_another_issuer_is_refused(issuer: str, here: Provider, elsewhere: OidcProvider) -> None:
    elsewhere.metadata["issuer"] = issuer
    assert "issuer is" in (await failure(here.begin("/", NOW))).detail


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"])
@pytest.mark.parametrize("url", ["http://id.example/x", "ftp://127.0.0.1/", "javascript:alert(1)", "https://[", ""])
async def test_an_endpoint_that_is_not_private_is_refused(
    name: str, url: str, here: Provider, elsewhere: OidcProvider
) -> None:
    elsewhere.metadata[name] = url
    assert name in (await failure(here.begin("/", NOW))).detail


def test_a_provider_elsewhere_cannot_send_us_to_this_machine() -> None:
    issuer = "https://id.example"
    said = Metadata(issuer, f"{issuer}/authorize", f"{issuer}/token", "http://127.0.0.1:8080/keys")
    with pytest.raises(SignInFailed, match="jwks_uri"):
        checked(said, issuer)


# ----------------------------------------------------------------------------------------------------- and back


async def test_nobody_comes_back_without_having_gone(here: Provider) -> None:
    assert "unknown state" in (await failure(here.finish({"state": "x", "code": "y"}, "", NOW))).detail


async def test_an_answer_works_once(here: Provider) -> None:
    begun = await here.begin("/", NOW)
    query = await visit(begun.url)
    await here.finish(query, begun.browser, NOW)
    assert "Begin again" in (await failure(here.finish(query, begun.browser, NOW))).reason


async def test_an_answer_that_failed_does_not_work_later(here: Provider) -> None:
    begun = await here.begin("/", NOW)
    query = await visit(begun.url)
    await failure(here.finish(query, "", NOW))
    assert "unknown state" in (await failure(here.finish(query, begun.browser, NOW))).detail


@pytest.mark.parametrize("browser", ["", "x", "\ud800", "a" * 43])
async def test_another_browser_cannot_finish(browser: str, here: Provider, elsewhere: OidcProvider) -> None:
    query = await visit((await here.begin("/", NOW)).url)
    assert "another browser" in (await failure(here.finish(query, browser, NOW))).reason
    assert "/token" not in elsewhere.asked


async def test_the_browser_of_another_sign_in_cannot_finish(here: Provider) -> None:
    mine, theirs = [await here.begin("/", NOW) for _ in range(2)]
    assert "another browser" in (await failure(here.finish(await visit(theirs.url), mine.browser, NOW))).reason


async def test_a_code_of_another_sign_in_is_refused(here: Provider) -> None:
    mine, theirs = [await here.begin("/", NOW) for _ in range(2)]
    stolen = (await visit(theirs.url))["code"]
    query = await visit(mine.url) | {"code": stolen}
    assert "invalid_grant" in (await failure(here.finish(query, mine.browser, NOW))).detail


async def test_the_last_second_is_soon_enough(here: Provider, elsewhere: OidcProvider) -> None:
    begun = await here.begin("/", NOW)
    query = await visit(begun.url)
    elsewhere.clock = lambda: NOW + FLOW_SECONDS
    assert (await here.finish(query, begun.browser, NOW + FLOW_SECONDS - 1)).name == "alice"


async def test_ten_minutes_are_too_long(here: Provider) -> None:
    begun = await here.begin("/", NOW)
    query = await visit(begun.url)
    assert "took too long" in (await failure(here.finish(query, begun.browser, NOW + FLOW_SECONDS))).reason


async def test_sign_ins_that_never_come_back_are_bounded(here: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "MAX_FLOWS", 3)
    oldest, *others = [await here.begin("/", NOW) for _ in range(4)]
    assert "unknown state" in (await failure(here.finish(await visit(oldest.url), oldest.browser, NOW))).detail
    assert [(await here.finish(await visit(one.url), one.browser, NOW)).name for one in others] == ["alice"] * 3


async def test_whoever_begins_again_and_again_pushes_out_nobody_else(
    here: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "MAX_OF_ORIGIN", 3)
    other = await here.begin("/", NOW, "192.0.2.1")
    first, *_ = [await here.begin("/", NOW, "198.51.100.7") for _ in range(4)]
    assert "unknown state" in (await failure(here.finish(await visit(first.url), first.browser, NOW))).detail
    assert (await here.finish(await visit(other.url), other.browser, NOW)).name == "alice"


async def test_where_all_room_is_taken_those_with_most_give_way(
    here: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "MAX_FLOWS", 3)
    one = await here.begin("/", NOW, "192.0.2.1")
    first, _ = [await here.begin("/", NOW, "198.51.100.7") for _ in range(2)]
    await here.begin("/", NOW, "203.0.113.5")
    assert "unknown state" in (await failure(here.finish(await visit(first.url), first.browser, NOW))).detail
    assert (await here.finish(await visit(one.url), one.browser, NOW)).name == "alice"


def test_sign_ins_that_are_over_make_room() -> None:
    flows = pending.Pending()
    metadata: Any = None
    for second in range(3):
        flows.add(pending.Flow(b"", "", "", metadata, "/", NOW + second))
    flows.add(pending.Flow(b"", "", "", metadata, "/", NOW + FLOW_SECONDS + 1))
    assert len(flows) == 2


@pytest.mark.parametrize("issuer", ["https://evil.example", "", None])
async def test_an_answer_of_another_provider_is_refused(
    issuer: str | None, here: Provider, elsewhere: OidcProvider
) -> None:
    elsewhere.callback["iss"] = issuer
    assert "callback: iss" in (await failure(sign_in(here))).detail
    assert "/token" not in elsewhere.asked


async def test_another_provider_is_refused_even_where_none_needs_to_say(
    here: Provider, elsewhere: OidcProvider
) -> None:
    elsewhere.sends_iss = False
    elsewhere.callback["iss"] = "https://evil.example"
    assert "callback: iss" in (await failure(sign_in(here))).detail


async def test_a_provider_that_never_says_who_answers_need_not(here: Provider, elsewhere: OidcProvider) -> None:
    elsewhere.sends_iss = False
    assert (await sign_in(here)).name == "alice"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("access_denied", "was cancelled"),
        ("temporarily_unavailable", "is busy"),
        ("login_required", "an error: login_required."),
        ("<script>", "an error: an unknown one."),
        ("a" * 5000, "an error: an unknown one."),
    ],
)
async def test_an_error_of_the_provider_is_told_in_words(
    error: str, words: str, here: Provider, elsewhere: OidcProvider
) -> None:
    elsewhere.callback |= {"code": None, "error": error, "error_description": "no\nERROR: forged " + "x" * 2000}
    failed = await failure(sign_in(here))
    assert words in failed.reason
    assert len(failed.reason) < 200
    assert len(failed.detail) < 400 and failed.detail.isprintable()


async def test_an_answer_without_code_is_refused(here: Provider, elsewhere: OidcProvider) -> None:
    elsewhere.callback["code"] = None
    assert "neither a code nor an error" in (await failure(sign_in(here))).detail


# ----------------------------------------------------------------------------------------------- as which client


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_the_secret_is_told_as_the_provider_wants_it(method: str, elsewhere: OidcProvider) -> None:
    elsewhere.auth_methods = [method]
    async with client(elsewhere.settings()) as here:
        assert (await sign_in(here)).name == "alice"


async def test_a_provider_that_wants_more_than_a_secret_is_told(elsewhere: OidcProvider) -> None:
    elsewhere.auth_methods = ["private_key_jwt", "none"]
    async with client(elsewhere.settings()) as here:
        assert "takes no client_secret, only private_key_jwt, none" in (await failure(sign_in(here))).detail


async def test_a_client_without_a_secret_has_pkce_alone(elsewhere: OidcProvider) -> None:
    elsewhere.client_secret = None
    async with client(elsewhere.settings()) as here:
        assert (await sign_in(here)).name == "alice"


async def test_a_wrong_secret_is_told_to_the_log(elsewhere: OidcProvider) -> None:
    settings = elsewhere.settings()
    elsewhere.client_secret = "another"
    async with client(settings) as here:
        assert (await failure(sign_in(here))).detail == "token endpoint: answered 401 invalid_client"


async def test_no_failure_tells_a_secret(here: Provider, elsewhere: OidcProvider) -> None:
    told = ""
    for path in ("/token", "/keys", "/userinfo"):
        for fault in (oidc_provider.fail, oidc_provider.page, oidc_provider.no_json):
            elsewhere.in_id_token = set()
            elsewhere.faults = {path: fault}
            told += str(await failure(sign_in(here, NOW)))
    elsewhere.faults = {}
    elsewhere.overrides = {"nonce": "x"}
    told += str(await failure(sign_in(here)))
    assert len(elsewhere.secrets_seen) > 10
    assert not [secret for secret in {*elsewhere.secrets_seen, "s3cret"} if secret in told]


# ------------------------------------------------------------------------------------- a provider that is unwell


FAULTS: list[tuple[Fault, str]] = [
    (oidc_provider.fail, "answered 500"),
    (oidc_provider.elsewhere, "answered 302"),
    (oidc_provider.page, "is text/html, not JSON"),
    (oidc_provider.no_json, "truncated"),
    (oidc_provider.deep, "recursion"),
    (oidc_provider.packed, "malformed"),
    (oidc_provider.huge, "larger than 1 MiB"),
]


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/.well-known/openid-configuration", "discovery"),
        ("/token", "token endpoint"),
        ("/keys", "keys"),
        ("/userinfo", "userinfo"),
    ],
)
@pytest.mark.parametrize(("fault", "words"), FAULTS)
async def test_an_answer_that_cannot_be_used_ends_the_sign_in(
    path: str, what: str, fault: Fault, words: str, here: Provider, elsewhere: OidcProvider
) -> None:
    elsewhere.in_id_token = set()
    elsewhere.faults[path] = fault
    failed = await failure(sign_in(here))
    assert failed.detail.startswith(f"{what}: ") and words in failed.detail


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys", "/userinfo"])
async def test_a_provider_that_hangs_is_not_waited_for(
    path: str, here: Provider, elsewhere: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_SECONDS", 0.2)
    elsewhere.in_id_token = set()
    elsewhere.faults[path] = oidc_provider.hang
    assert "no answer within 0.2 s" in (await failure(sign_in(here))).detail


async def test_a_provider_that_is_away_is_told(unused_tcp_port: int) -> None:
    away = Oidc(issuer=f"http://127.0.0.1:{unused_tcp_port}", client_id="hbd")
    async with client(away) as here:
        assert "cannot be reached" in (await failure(here.begin("/", NOW))).reason


async def test_what_is_no_http_is_told_without_its_url() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        writer.close()

    here = transport.Transport()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys?token=swordfish"
        failed = await failure(here.get(url, dict, "keys"))
    await here.close()
    assert failed.detail.startswith("keys: no HTTP, Bad status line")
    assert "swordfish" not in failed.detail


async def test_an_address_that_is_none_is_not_told() -> None:
    here = transport.Transport()
    failed = await failure(here.get("http:///keys?token=swordfish", dict, "keys"))
    await here.close()
    assert failed.detail.startswith("keys: ") and "swordfish" not in failed.detail


async def test_proxies_of_the_environment_are_not_used(here: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert (await sign_in(here)).name == "alice"


async def test_a_certificate_of_nobody_we_trust_is_refused(elsewhere: OidcProvider, tmp_path: Path) -> None:
    server = TestServer(elsewhere.make_app())
    await server.start_server(ssl=self_signed(tmp_path))
    elsewhere.url = f"https://127.0.0.1:{server.port}"
    async with client(elsewhere.settings()) as here:
        assert "CERTIFICATE_VERIFY_FAILED" in (await failure(here.begin("/", NOW))).detail
    assert not elsewhere.asked
    await server.close()


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_nothing_slow_is_loaded_before_it_is_needed() -> None:
    program = "import hbd.oidc, sys; sys.exit('joserfc' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


async def test_a_sign_in_that_a_reload_has_overtaken_is_told(elsewhere: OidcProvider) -> None:
    here = Provider(elsewhere.settings(), REDIRECT_URI)
    begun = await here.begin("/", NOW)
    query = await visit(begun.url)
    await here.close()
    assert "Try again" in (await failure(here.finish(query, begun.browser, NOW))).reason


async def test_closing_ends_what_is_under_way(elsewhere: OidcProvider) -> None:
    elsewhere.faults["/.well-known/openid-configuration"] = oidc_provider.hang
    here = Provider(elsewhere.settings(), REDIRECT_URI)
    waiting = asyncio.create_task(here.begin("/", NOW))
    async with asyncio.timeout(30):
        while not elsewhere.asked:
            await asyncio.sleep(0.01)
    await here.close()
    assert "the settings have changed" in (await failure(waiting)).detail
