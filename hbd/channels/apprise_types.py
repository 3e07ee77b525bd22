"""Every service that Apprise knows, each as a channel type of its own.

Apprise is a large library that blocks: it is imported in a thread when the first channel needs it, and sends in
threads of ours. It would read files of this machine, follow redirects and proxies, and call private addresses where
settings ask for it; here it gets no such setting, and is confined to what the channel's guard permits
(``hbd.channels.confinement``), whichever way it comes to call.
"""

from __future__ import annotations

import asyncio
import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from msgspec.structs import replace

from hbd.channels import confinement
from hbd.channels.base import Channel, Field, Flaw, Message, SendFailed, Settings, Tools, within_limit
from hbd.channels.confinement import Confinement
from hbd.channels.email import is_server
from hbd.channels.http import judge
from hbd.channels.spec import ChannelSpec
from hbd.model import Level

if TYPE_CHECKING:
    import apprise

NAMES = {
    "pover": "pushover",
    "tgram": "telegram",
    "workflow": "teams",
    "mmost": "mattermost",
    "wxteams": "webex",
    "pbul": "pushbullet",
    "msgbird": "messagebird",
    "gchat": "google_chat",
    "hassio": "homeassistant",
    "ncloud": "nextcloud",
    "nctalk": "nextcloud_talk",
    "rocket": "rocketchat",
    "bsky": "bluesky",
    "push": "techulus_push",
    "spush": "simplepush",
    "x": "twitter",
    "azure": "office365",
    "atalk": "africas_talking",
    "schan": "serverchan",
    "strmlabs": "streamlabs",
    "pjet": "pushjet",
    "ringc": "ringcentral",
    "klr": "kaleyra",
}
"""what people look for where Apprise's own name of a service is another"""
LEFT_OUT = frozenset(("mailto", "syslog", "xmpp", "deltachat", "mqtt"))
"""our own type is the better one, it is no message to people, or it sends from threads of its own"""
PUSHOVER = (
    Field("token", "App token", "secret", required=True),
    Field("user", "User key", "secret", required=True),
    Field("sound", "Sound"),
)
RENAMED = {"pushover": {"user": "user_key"}}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {"ntfy": {"host": "ntfy.sh"}}
"""what most people mean where the service leaves it open"""
COMMON = frozenset((*ChannelSpec.__struct_fields__, "fields", "state", "tls", "type_label", "editable"))
"""keys that a channel has besides the settings of its type"""
MAX_VALUE = 2_000

_USUAL = frozenset(
    ("verify", "redirect", "rto", "cto", "overflow", "format", "emojis", "store", "tz", "retry", "wait", "optional")
)
_READS_FILES = frozenset(("template", "pgp", "pgppub", "pgpprv", "pgpkey", "keyfile", "subfile", "vapidkey"))
_SECRET = ("token", "key", "secret", "pass", "webhook", "sid", "auth")
"""what is typed into a field with one of these in its name is a secret, also where Apprise says nothing of that"""
_PLACE = re.compile(r"\{(\w+)\}")
_STATUS = re.compile(r"error=([1-5][0-9]{2})\b")


class AppriseType:
    """One service. described: what ``Apprise.details()`` says of it."""

    def __init__(self, key: str, described: Mapping[str, Any]) -> None:
        self.key = key
        self.label = str(described["service_name"])
        details = described["details"]
        self._plain = next(iter(described["protocols"] or ()), "")
        self._secure = next(iter(described["secure_protocols"] or ()), "")
        self._renamed = RENAMED.get(key, {})
        self._templates = [
            (text, places)
            for text in map(str, details["templates"])
            if not (places := frozenset(_PLACE.findall(text)) - {"schema"}) & _READS_FILES
        ]
        members = {name for token in details["tokens"].values() for name in token.get("group", ())}
        self._tokens = {
            name: token
            for name, token in details["tokens"].items()
            if name not in members and any(name in places for _, places in self._templates)
        }
        self._arguments = {
            name: argument
            for name, argument in details["args"].items()
            if "alias_of" not in argument and name not in _USUAL | _READS_FILES | self._tokens.keys()
        }
        self.fields = PUSHOVER if key == "pushover" else self._own_fields()
        self._usual = DEFAULTS.get(key, {})
        self.fields = tuple(replace(one, default=self._usual.get(one.key, one.default)) for one in self.fields)
        self._field_of = {self._name(field.key): field for field in self.fields}

    @property
    def usable(self) -> bool:
        return bool(self._templates)

    def check(self, settings: Settings) -> list[Flaw]:
        settings = {**self._usual, **settings}
        flaws = [
            (field.key, flaw)
            for name, field in self._field_of.items()
            if (flaw := self._flaw(name, settings.get(field.key)))
        ]
        if flaws:
            return flaws
        given = self._given(settings)
        if self._template(given) is None:
            return [self._missing(given)]
        if _made(self._url(settings)) is None:
            return [("", f"{self.label} does not take these settings")]
        return []

    def targets(self, settings: Settings) -> Sequence[tuple[str, int]]:
        settings = {**self._usual, **settings}
        field = self._field_of.get("host")
        host = settings.get(field.key) if field else None
        port = settings.get(self._field_of["port"].key) if "port" in self._field_of else None
        return [(host, int(port or (443 if self._is_secure(settings) else 80)))] if host else []

    def open(self, name: str, settings: Settings, tools: Tools) -> Channel:
        return _Open(self._url({**self._usual, **settings}), self.targets(settings), tools)

    # ----------------------------------------------------------------------------------------------------- the form

    def _own_fields(self) -> tuple[Field, ...]:
        always = frozenset.intersection(*(places for _, places in self._templates)) if self._templates else frozenset()
        fields = [_field(name, token, name in always) for name, token in self._tokens.items()]
        fields += [_field(name, argument, bool(argument.get("required"))) for name, argument in self._arguments.items()]
        if self._plain and self._secure:
            fields.append(Field("tls", "TLS", "boolean", default=True, help="Call the server over https."))
        return tuple(fields)

    def _name(self, key: str) -> str:
        """Apprise's name of a field."""
        return self._renamed.get(key, key.removeprefix("service_"))

    def _flaw(self, name: str, value: Any) -> str:
        if value is None:
            return ""
        texts = [str(one) for one in value] if isinstance(value, tuple) else [str(value)]
        if any(len(text) > MAX_VALUE or not text.isprintable() for text in texts):
            return f"must be {MAX_VALUE} printable characters at most"
        if name == "host" and not is_server(texts[0]):
            return "must be a host name or an address"
        if name == "port" and not 1 <= float(value) <= 65535:
            return "must be 1 to 65535"
        pattern = self._tokens.get(name, {}).get("regex") if not isinstance(value, tuple) else None
        if pattern and pattern[0] and not re.fullmatch(pattern[0], texts[0], re.IGNORECASE if pattern[1] else 0):
            return f"does not look like what {self.label} uses"
        return ""

    # ------------------------------------------------------------------------------------------------------ the URL

    def _given(self, settings: Settings) -> frozenset[str]:
        found = {name for name, field in self._field_of.items() if settings.get(field.key) not in (None, "", ())}
        return frozenset(found & self._tokens.keys())

    def _template(self, given: frozenset[str]) -> str | None:
        return next((text for text, places in self._templates if places == given), None)

    def _missing(self, given: frozenset[str]) -> Flaw:
        """The field to name when these are not what any form of the service's URL has."""
        _, places = min(self._templates, key=lambda template: (len(given - template[1]), len(template[1] - given)))
        lacking = [self._field_of[name].key for name in self._field_of if name in places - given]
        if lacking:
            return lacking[0], "is missing"
        spare = next((name for name in self._field_of if name in given - places), None)
        if spare is None:
            return "", f"{self.label} needs more than this"
        return self._field_of[spare].key, "does not go together with the others"

    def _is_secure(self, settings: Settings) -> bool:
        return bool(self._secure) and bool(settings.get("tls", True) or not self._plain)

    def _url(self, settings: Settings) -> str:
        words = {"schema": self._secure if self._is_secure(settings) else self._plain}
        for name, field in self._field_of.items():
            if (value := settings.get(field.key)) not in (None, "", ()) and name in self._tokens:
                words[name] = _quoted(name, value)
        template = self._template(frozenset(words) - {"schema"})
        assert template is not None, "checked before"
        url = _PLACE.sub(lambda match: words[match[1]], template)
        arguments = {
            name: _worded(value)
            for name in self._arguments
            if name in self._field_of and (value := settings.get(self._field_of[name].key)) not in (None, "", ())
        }
        query = urlencode(arguments)
        return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


class _Open:
    refresh = None

    def __init__(self, url: str, targets: Sequence[tuple[str, int]], tools: Tools) -> None:
        self._url = url
        self._targets = targets
        self._tools = tools
        self._under_way: Future[str] | None = None

    async def send(self, message: Message) -> str:
        if self._under_way is not None and not self._under_way.done():
            raise SendFailed("the service has not answered the message before yet")
        async with within_limit():
            permitted = [
                place["host"] for host, port in self._targets for place in await self._tools.guard.addresses(host, port)
            ]
            confined = Confinement(self._tools.guard, frozenset(permitted))
            self._under_way = self._tools.threads.submit(_deliver, self._url, message, confined)
            try:
                return await asyncio.shield(asyncio.wrap_future(self._under_way))
            finally:
                self._under_way.cancel()
                confined.end()

    async def close(self) -> None:
        pass


def load() -> dict[str, AppriseType]:
    """All services by key. Takes about a second of a thread the first time."""
    confinement.prepare()
    import apprise

    logging.getLogger("apprise").propagate = False  # it tells what services answer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of modules that its services import
        details = apprise.Apprise().details()
    types: dict[str, AppriseType] = {}
    for described in details["schemas"]:
        schema = next(iter(described["protocols"] or described["secure_protocols"]))
        key = NAMES.get(schema, schema)
        made = AppriseType(key, described)
        if schema not in LEFT_OUT and made.usable:
            types[key] = made
    return dict(sorted(types.items()))


def _deliver(url: str, message: Message, confined: Confinement) -> str:
    """In a thread of ours. Raises SendFailed."""
    import apprise

    service = _made(url)
    if service is None:
        raise SendFailed("the service does not take these settings", permanent=True)
    kinds = {
        Level.OK: apprise.NotifyType.SUCCESS,
        Level.WARNING: apprise.NotifyType.WARNING,
        Level.CRITICAL: apprise.NotifyType.FAILURE,
        Level.UNKNOWN: apprise.NotifyType.WARNING,
    }
    sender = apprise.Apprise(services=[service], asset=service.asset)
    with confined.entered():
        result = sender.notify(
            title=message.title,
            body=message.text,
            notify_type=kinds[message.level] if message.kind == "alert" else apprise.NotifyType.INFO,
            body_format=apprise.NotifyFormat.TEXT,
        )
    if result:
        return "taken"
    told = _STATUS.search(" ".join(str(entry) for entry in result.logs()))
    if told:
        judge(int(told[1]))
    raise SendFailed("the service did not take it")


def _made(url: str) -> apprise.NotifyBase | None:
    import apprise

    asset = apprise.AppriseAsset(
        plugin_paths=[],
        storage_mode="memory",
        allow_templates=False,
        service_timeout=0,  # so that it sends in the thread that it is called in
        async_mode=False,
        http_redirects=False,
        pgp_autogen=False,
        pem_autogen=False,
        app_id="hbd",
    )
    made: apprise.NotifyBase | None = apprise.Apprise.instantiate(url, asset=asset)
    return made


def _field(name: str, described: Mapping[str, Any], required: bool) -> Field:
    kind = str(described.get("type", "string"))
    choices: tuple[str, ...] = ()
    if kind.startswith("choice"):
        shown, choices = "choice", tuple(sorted(str(value) for value in described.get("values", ())))
    elif kind.startswith("list"):
        shown = "list"
    else:
        shown = {"bool": "boolean", "int": "number", "float": "number"}.get(kind, "text")
    names = f"{name} {described.get('map_to', '')}".lower()
    if described.get("private") or (shown in ("text", "list") and any(word in names for word in _SECRET)):
        shown, choices = "secret", ()
    default = described.get("default")
    return Field(
        f"service_{name}" if name in COMMON else name,
        str(described["name"]),
        shown,  # type: ignore[arg-type]
        required=required,
        choices=choices,
        default=default if isinstance(default, str | int | float) and shown != "secret" else None,
    )


def _quoted(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return "/".join(quote(str(one), safe="") for one in value)
    text = _worded(value)
    if name == "host":
        return f"[{text}]" if ":" in text else text
    if name in ("path", "fullpath"):
        return "/" + "".join(f"{quote(part, safe='')}/" for part in text.split("/") if part)
    return quote(text, safe="")


def _worded(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return ",".join(value) if isinstance(value, tuple) else str(value)
