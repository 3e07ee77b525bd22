"""How a single value is read from what stands in the file. Each reader takes a scalar and raises ``Wrong``."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from hbd.config.structs import Secret
from hbd.config.yaml_source import Scalar
from hbd.model import USER_NAME_RULE, is_host_name, is_user_name, without_joiners

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([smhdw])")
_SIZE = re.compile(r"([0-9]{1,12}) ?([KMG]iB|kB|MB|GB)")
_DNS_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}")
_COSTS = range(4, 16)  # each costs twice the time of the one before: 12 takes a quarter of a second
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_HOST_PATTERN = re.compile(r"[A-Za-z0-9._:*?\[\]!-]{1,253}")


class Wrong(Exception):
    """The value is not what was expected. hint: what to do, "" when that is plain."""

    def __init__(self, hint: str = "") -> None:
        super().__init__(hint)
        self.hint = hint


def read_bool(scalar: Scalar) -> bool:
    if isinstance(scalar.value, bool):
        return scalar.value
    if scalar.text.lower() in ("yes", "on", "true"):
        raise Wrong("write true")
    if scalar.text.lower() in ("no", "off", "false"):
        raise Wrong("write false")
    raise Wrong


def read_int(scalar: Scalar) -> int:
    number = read_number(scalar)
    if number != int(number):
        raise Wrong
    return int(number)


def read_number(scalar: Scalar) -> int | float:
    number = scalar.value
    if isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < 1e18:
        return number
    if scalar.quoted and isinstance(Scalar(scalar.line, scalar.text).value, int | float):
        raise Wrong("remove the quotes")
    if re.fullmatch(r"0[0-9]+", scalar.text):
        raise Wrong("remove the leading 0")
    if re.fullmatch(r"[0-9]{1,3}([_,' ][0-9]{3})+", scalar.text):
        raise Wrong("write the digits together")
    raise Wrong


def read_text(scalar: Scalar) -> str:
    """The text as it stands in the file, whatever YAML might take it for."""
    if any(not character.isprintable() for character in scalar.text):
        raise Wrong("it holds a line break or another character that cannot be seen")
    return scalar.text


def read_visible_text(scalar: Scalar) -> str:
    """The text of people, who may write with joiners."""
    if not without_joiners(scalar.text).isprintable():
        raise Wrong("it holds a line break or another character that cannot be seen")
    return scalar.text


def read_moment(scalar: Scalar) -> float:
    """A time with its zone, to Unix seconds."""
    try:
        found = datetime.fromisoformat(scalar.text)
    except ValueError:
        raise Wrong from None
    if found.tzinfo is None:
        raise Wrong("write a Z behind it, which means UTC")
    return found.timestamp()


def read_duration(scalar: Scalar) -> float:
    if match := _DURATION.fullmatch(scalar.text):
        return float(match[1]) * _SECONDS[match[2]]
    if re.fullmatch(r"[0-9]+(:[0-9]+)+", scalar.text):
        raise Wrong("write it with a unit: s, m, h, d or w")
    return float(read_number(scalar))


def read_size(scalar: Scalar) -> int:
    if match := _SIZE.fullmatch(scalar.text):
        return int(match[1]) * _BYTES[match[2]]
    return read_int(scalar)


def read_host_name(scalar: Scalar) -> str:
    if not is_host_name(scalar.text):
        raise Wrong
    return scalar.text


def read_host_pattern(scalar: Scalar) -> str:
    if not _HOST_PATTERN.fullmatch(scalar.text):
        raise Wrong
    return scalar.text


def read_bind_address(scalar: Scalar) -> str:
    text = scalar.text
    if text == "":
        return text
    try:
        ipaddress.ip_address(text)
    except ValueError:
        pass
    else:
        return text
    if text == "*":
        raise Wrong('all interfaces are ""')
    if text.startswith("["):
        raise Wrong("write it without brackets")
    if re.fullmatch(r"[^:]+:[0-9]+", text):
        raise Wrong("the port is a key of its own")
    if not _DNS_NAME.fullmatch(text) or text.rpartition(".")[2].isdigit():
        raise Wrong
    return text


def read_url(scalar: Scalar) -> str:
    """An address of a web page, without the slash at its end."""
    try:
        parts = urlsplit(scalar.text)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and scalar.text.isprintable()
    except ValueError:
        raise Wrong from None
    if not whole or " " in scalar.text:
        raise Wrong
    if parts.query or parts.fragment or parts.username is not None:
        raise Wrong("leave out the user, the ? and the #")
    return scalar.text.rstrip("/")


def read_exporter_url(scalar: Scalar) -> str:
    """An address that may have a question in it, as that of a blackbox exporter."""
    address, mark, question = scalar.text.partition("?")
    if not question.isprintable() or " " in question or "#" in question:
        raise Wrong
    read_url(Scalar(scalar.line, address))
    return f"{address}{mark}{question}"


def read_origin(scalar: Scalar) -> str:
    if scalar.text == "*":
        return scalar.text
    url = read_url(scalar)
    if urlsplit(url).path:
        raise Wrong("leave out the path")
    return url


def read_password_hash(scalar: Scalar) -> Secret:
    match = _BCRYPT.fullmatch(scalar.text)
    if match is None:
        raise Wrong("a hash begins with $2b$ and has 60 characters; make one with: hbd passwd")
    if int(match["cost"]) not in _COSTS:
        raise Wrong(f"its cost must be {_COSTS.start}-{_COSTS.stop - 1}")
    return Secret(scalar.text)


def read_secret(scalar: Scalar) -> Secret:
    text = read_text(scalar)
    if not text:
        raise Wrong
    return Secret(text)


def read_user_name(scalar: Scalar) -> str:
    if not is_user_name(scalar.text):
        raise Wrong
    return scalar.text


def read_network(scalar: Scalar) -> str:
    """An address or a network, as it is written when its host bits are gone."""
    try:
        return str(ipaddress.ip_network(scalar.text))
    except ValueError as error:
        raise Wrong("the bits behind the / must be 0" if "host bits" in str(error) else "") from None


def read_header_name(scalar: Scalar) -> str:
    if not _HEADER_NAME.fullmatch(scalar.text):
        raise Wrong
    return scalar.text


class Leaf(NamedTuple):
    expected: str
    read: Callable[[Scalar], Any]


LEAVES = {
    "visible text": Leaf("text", read_visible_text),
    "moment": Leaf("a time such as 2026-11-21T22:00:00Z", read_moment),
    "duration": Leaf("a duration such as 10, 90s, 5m, 48h or 90d", read_duration),
    "size": Leaf("a size such as 1048576, 512 KiB or 1 MiB", read_size),
    "host name": Leaf("a host name (1-253 letters, digits, . _ - :)", read_host_name),
    "host pattern": Leaf("a host name, in which * and ? may stand for other characters", read_host_pattern),
    "bind address": Leaf('an IPv4 or IPv6 address, a name, or "" for all interfaces', read_bind_address),
    "password hash": Leaf("a bcrypt hash", read_password_hash),
    "secret": Leaf("a secret text", read_secret),
    "user name": Leaf(f"a user name ({USER_NAME_RULE})", read_user_name),
    "network": Leaf("an address or a network such as 10.0.0.0/8", read_network),
    "header name": Leaf("the name of a header such as Remote-User", read_header_name),
    "url": Leaf("an address such as https://hb.example.org", read_url),
    "exporter url": Leaf("an address such as http://web1.example.org:9100/metrics", read_exporter_url),
    "origin": Leaf('an origin such as https://dash.example.org, or "*"', read_origin),
}
