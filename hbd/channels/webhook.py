"""An HTTP request to any URL, with a JSON body that is ours or the channel's own."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from hbd.channels import http
from hbd.channels.base import Channel, Field, Flaw, Item, Message, Settings, Tools
from hbd.channels.guard import flaw_of_url, target_of
from hbd.channels.words import moment

MAX_TEMPLATE = 8_000
MAX_PLACES = 50
MAX_DEPTH = 50
MAX_HEADERS = 20
MAX_PROBLEMS = 500  # of one message that are written out; ``count`` tells how many there are
SIGNATURE = "X-Hbd-Signature"

_PLACE = re.compile(r"\{(title|text|level|host|metric|value|since|id|url|count)\}")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}):[ \t]*([\x20-\x7e]{0,4000})")
_OURS = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)


class Webhook:
    key = "webhook"
    label = "Webhook"
    fields = (
        Field("url", "URL", "url", required=True),
        Field("method", "Method", "choice", choices=("POST", "PUT"), default="POST"),
        Field("headers", "Headers", "list", help="One “Name: value” each."),
        Field("secret", "Signing secret", "secret", help=f"Every request is signed with it, in {SIGNATURE}."),
        Field("body", "JSON body", help="Instead of the usual one; {title}, {text}, {level} … are filled in."),
    )

    def check(self, settings: Settings) -> list[Flaw]:
        flaws = [("url", flaw_of_url(settings["url"]))]
        flaws += [("headers", _flaw_of_header(line)) for line in settings.get("headers", ())]
        if len(settings.get("headers", ())) > MAX_HEADERS:
            flaws.append(("headers", f"must be {MAX_HEADERS} at most"))
        flaws.append(("body", _flaw_of_template(settings.get("body", ""))))
        return [flaw for flaw in flaws if flaw[1]]

    def targets(self, settings: Settings) -> Sequence[tuple[str, int]]:
        return [target_of(settings["url"])]

    def open(self, name: str, settings: Settings, tools: Tools) -> Channel:
        return _Open(settings, tools)


class _Open:
    refresh = None

    def __init__(self, settings: Settings, tools: Tools) -> None:
        self._url = settings["url"]
        self._method = settings.get("method", "POST")
        self._headers = dict(_split(line) for line in settings.get("headers", ()))
        self._secret = settings.get("secret", "")
        self._template = settings.get("body", "")
        self._tools = tools

    async def send(self, message: Message) -> str:
        body = filled(self._template, message) if self._template else usual_body(message)
        headers = {"X-Hbd-Message": message.id}
        if self._secret:
            headers[SIGNATURE] = signature(self._secret, int(self._tools.clock()), body)
        return await http.request(
            self._tools, self._url, body, method=self._method, headers={**headers, **self._headers}
        )

    async def close(self) -> None:
        pass


def signature(secret: str, at: int, body: bytes) -> str:
    """``t=<Unix seconds>,v1=<hex>``: HMAC-SHA256 with the secret over ``<Unix seconds>.<body>``."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def usual_body(message: Message) -> bytes:
    return msgspec.json.encode(
        {
            "id": message.id,
            "kind": message.kind,
            "sender": message.sender,
            "sent": message.sent,
            "level": message.level,
            "title": message.title,
            "text": message.text,
            "count": len(message.items),
            "problems": [_problem(item) for item in message.items[:MAX_PROBLEMS]],
        }
    )


def _problem(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "number": item.number,
        "host": item.host,
        "metric_path": item.metric,
        "name": item.name,
        "level": item.level,
        "previous_level": item.before,
        "value": item.value,
        "reason": item.reason,
        "since": item.since,
        "time": item.at,
        "url": item.url,
        "note": item.note,
        "tags": item.tags,
        "owner": item.owner,
    }


def filled(template: str, message: Message) -> bytes:
    """The JSON of the template, the places in its texts filled in; those of one problem with the first one's.

    What is filled in is text and nothing else: it is not looked at again, and cannot end the text that it is in.
    """
    item = message.items[0] if message.items else None
    words = {
        "title": message.title,
        "text": message.text,
        "level": str(message.level),
        "id": message.id,
        "count": str(len(message.items)),
        "host": item.host if item else "",
        "metric": item.metric if item else "",
        "value": item.value if item else "",
        "since": moment(item.since) if item else "",
        "url": item.url if item else "",
    }

    def fill(node: Any) -> Any:
        if isinstance(node, str):
            return _PLACE.sub(lambda match: words[match[1]], node)
        if isinstance(node, list):
            return [fill(one) for one in node]
        if isinstance(node, dict):
            return {key: fill(value) for key, value in node.items()}
        return node

    return msgspec.json.encode(fill(msgspec.json.decode(template)))


def _flaw_of_template(text: str) -> str:
    if not text:
        return ""
    if len(text) > MAX_TEMPLATE:
        return f"must be {MAX_TEMPLATE} characters at most"
    try:
        places = _places(msgspec.json.decode(text), MAX_DEPTH)
    except (msgspec.DecodeError, RecursionError):
        return "must be JSON"
    if places is None:
        return f"must be nested {MAX_DEPTH} deep at most"
    return f"must have {MAX_PLACES} places to fill in at most" if places > MAX_PLACES else ""


def _places(node: Any, depth: int) -> int | None:
    """How many places there are to fill in; None where it is nested deeper."""
    if isinstance(node, str):
        return len(_PLACE.findall(node))
    if not isinstance(node, list | dict):
        return 0
    found = 0
    for one in node if isinstance(node, list) else node.values():
        count = _places(one, depth - 1) if depth > 1 else None
        if count is None:
            return None
        found += count
    return found


def _flaw_of_header(line: str) -> str:
    match = _HEADER.fullmatch(line)
    if match is None:
        return "must be like “Name: value”, in one line of ASCII"
    return f"{match[1]} is set by hbd" if match[1].lower() in _OURS else ""


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip(" \t")
