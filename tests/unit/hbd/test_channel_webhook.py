from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channel_kit import NOW, Service, item, message, serving, tools

from hbd.channels import base
from hbd.channels.base import Message, SendFailed
from hbd.channels.http import retry_after
from hbd.channels.webhook import Webhook
from hbd.model import Level


@pytest.fixture(name="service")
async def a_service() -> AsyncIterator[Service]:
    async with serving() as service:
        yield service


async def send(service: Service, what: Message | None = None, **settings: Any) -> str:
    given = {"url": service.url(), **settings}
    assert Webhook().check(given) == []
    return await Webhook().open("hook", given, tools()).send(what or message())


async def test_a_message_comes_as_json(service: Service) -> None:
    assert await send(service) == "200"
    method, path, headers, body = service.asked[0]
    sent = json.loads(body)
    assert (method, path, headers["Content-Type"], headers["X-Hbd-Message"]) == (
        "POST",
        "/hook",
        "application/json",
        "m1",
    )
    assert (sent["title"], sent["level"], sent["count"]) == ("CRITICAL web1: CPU 95.5 > 90 for 5 min", "CRITICAL", 1)
    assert sent["problems"][0]["metric_path"] == "cpu_monitor.cpu_percent"


async def test_method_and_headers_are_those_of_the_channel(service: Service) -> None:
    await send(service, method="PUT", headers=("X-Api-Key: abc", "X-Empty:"))
    method, _, headers, _ = service.asked[0]
    assert (method, headers["X-Api-Key"], headers["X-Empty"]) == ("PUT", "abc", "")


async def test_the_signature_covers_time_and_body(service: Service) -> None:
    await send(service, secret="s3cret")
    _, _, headers, body = service.asked[0]
    expected = hmac.new(b"s3cret", f"{NOW:.0f}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["X-Hbd-Signature"] == f"t={NOW:.0f},v1={expected}"


async def test_a_body_of_ones_own_is_filled_in(service: Service) -> None:
    await send(service, body='{"text": "{host}: {value} {count}", "list": ["{level}", 1, null], "{host}": true}')
    assert json.loads(service.asked[0][3]) == {"text": "web1: 95.5 1", "list": ["CRITICAL", 1, None], "{host}": True}


@pytest.mark.parametrize("odd", ['", "x": "', "{title}{text}", "{0.__class__}", "${x}", "%(x)s", "{{config}}", "\\"])
async def test_what_is_filled_in_stays_text(service: Service, odd: str) -> None:
    await send(service, message(item(value=odd)), body='{"v": "{value}"}')
    assert json.loads(service.asked[0][3]) == {"v": odd}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{not json", "must be JSON"),
        ('"' + "x" * 8_000 + '"', "must be 8000 characters at most"),
        ('"' + "{text}" * 51 + '"', "must have 50 places to fill in at most"),
        ("[" * 7_000, "must be JSON"),
    ],
)
def test_a_body_that_cannot_be_sent_is_refused(body: str, reason: str) -> None:
    assert Webhook().check({"url": "https://example.org", "body": body}) == [("body", reason)]


@pytest.mark.parametrize(
    "line", ["no colon", "A: b\r\nC: d", "A: b\nC: d", "A: é", "a b: c", ": x", "Host: x", "content-length: 3"]
)
def test_a_header_that_could_be_another_request_is_refused(line: str) -> None:
    assert [key for key, _ in Webhook().check({"url": "https://example.org", "headers": (line,)})] == ["headers"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
async def test_a_refusal_for_good_is_permanent(service: Service, status: int) -> None:
    service.status = status
    with pytest.raises(SendFailed, match=f"^status {status}$") as failed:
        await send(service)
    assert failed.value.permanent


@pytest.mark.parametrize(("status", "refused"), [(400, True), (413, True), (422, True), (401, False), (404, False)])
async def test_what_is_wrong_with_a_message_is_told_apart_from_the_rest(
    service: Service, status: int, refused: bool
) -> None:
    service.status = status
    with pytest.raises(SendFailed) as failed:
        await send(service)
    assert failed.value.refused is refused


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_refusal_for_now_is_not(service: Service, status: int) -> None:
    service.status = status
    with pytest.raises(SendFailed, match=f"^status {status}$") as failed:
        await send(service)
    assert not failed.value.permanent and failed.value.retry_after is None


async def test_the_wait_that_a_service_asks_for_is_handed_on(service: Service) -> None:
    service.status, service.headers = 429, {"Retry-After": "17"}
    with pytest.raises(SendFailed) as failed:
        await send(service)
    assert failed.value.retry_after == 17.0


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1e400", None),
        ("120", 120.0),
        ("999999999", 86400.0),
        ("Sun, 15 Jun 2025 15:07:40 GMT", 60.0),
        ("Sun, 15 Jun 2025 15:00:00 GMT", 0.0),
        ("Sun, 99 Jun 2025 15:00:00 GMT", None),
    ],
)
def test_a_wait_is_seconds_or_a_date(text: str, wait: float | None) -> None:
    assert retry_after(text, NOW) == wait


async def test_a_redirect_is_not_followed(service: Service) -> None:
    service.status, service.headers = 302, {"Location": service.url("/elsewhere")}
    with pytest.raises(SendFailed, match="redirects are not followed"):
        await send(service)
    assert [path for _, path, _, _ in service.asked] == ["/hook"]


async def test_nothing_that_a_service_answers_is_told(service: Service) -> None:
    service.status, service.body, service.headers = 500, b"inner secret", {"X-Inner": "inner secret"}
    with pytest.raises(SendFailed) as failed:
        await send(service)
    assert "inner" not in str(failed.value)


async def test_a_proxy_from_the_environment_is_left_alone(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert await send(service) == "200"


async def test_a_service_that_hangs_up_has_not_taken_it(service: Service) -> None:
    service.answer = service.cut
    with pytest.raises(SendFailed, match="connection was cut") as failed:
        await send(service)
    assert not failed.value.permanent


async def test_a_service_that_does_not_answer_fails_in_time(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "SEND_SECONDS", 0.2)
    service.answer = service.hang
    with pytest.raises(SendFailed, match="no answer within") as failed:
        await send(service)
    assert not failed.value.permanent


async def test_a_service_that_is_not_there_has_not_taken_it(service: Service) -> None:
    with pytest.raises(SendFailed, match="cannot be reached"):
        await Webhook().open("hook", {"url": "http://127.0.0.1:1/"}, tools()).send(message())


async def test_the_level_is_that_of_the_worst_open_problem(service: Service) -> None:
    await send(service, message(item(Level.WARNING), item(Level.OK, before=Level.CRITICAL)))
    assert json.loads(service.asked[0][3])["level"] == "WARNING"
