"""Results of checks that were made elsewhere, as passive checks of Nagios: one by one, or as NRDP sends them.

The key decides whose they are; a host name in them is data. Each result is told as soon as it comes, with the last ones
of all other services of its host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, NamedTuple
from xml.etree import ElementTree

import msgspec
from msgspec import Meta, Struct

from hbc import perfdata
from hbd.errors import InvalidInput
from hbd.hosts import Host
from hbd.model import Data, Moment, Sample
from hbd.receivers.pieces import MOST_METRICS, Pieces
from hbd.receivers.rates import Rates

NAME = "nagios"
PLUGIN = "nagios_passive"
MOST_RESULTS = 500  # at a time
MOST_SERVICES = 500  # of one host
KEPT_SECONDS = 7 * 86_400.0  # a service of which nothing comes any more
HOST_CHECK = "host check"  # the service that stands for the host itself
LONGEST_SERVICE = 128
PROBLEMS_TOLD = 5
_WORDS = {"OK": 0, "WARNING": 1, "CRITICAL": 2, "UNKNOWN": 3, "UP": 0, "DOWN": 2, "UNREACHABLE": 2}


class Result(Struct):
    """One result. state: 0–3, or the word. output: as a check prints it, with performance data behind a bar."""

    service: str
    state: int | str
    output: str = ""


class _NrdpCheck(Struct, frozen=True):
    type: str = "service"


class _NrdpResult(Struct):
    checkresult: _NrdpCheck = _NrdpCheck()
    servicename: str = ""
    state: int | str = 3
    output: str = ""


class _NrdpResults(Struct):
    checkresults: Annotated[list[Any], Meta(max_length=MOST_RESULTS)]


class Taken(NamedTuple):
    """results: how many. refused: how many were not. problems: why, of the first."""

    samples: list[Sample]
    results: int
    refused: int
    problems: list[str]


_decode = msgspec.json.Decoder(Any).decode
_decode_nrdp = msgspec.json.Decoder(_NrdpResults).decode


def read(body: bytes) -> list[Any]:
    """What a body of JSON holds: one result or a list of them. Raises InvalidInput."""
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput("The body is not JSON") from None
    results = found if isinstance(found, list) else [found]
    if not 0 < len(results) <= MOST_RESULTS:
        raise InvalidInput(f"a result is needed, or a list of at most {MOST_RESULTS}")
    return results


def read_nrdp_json(text: str) -> list[Any]:
    """The results in ``JSONDATA``. Raises InvalidInput."""
    try:
        found = _decode_nrdp(text)
    except msgspec.ValidationError as error:
        raise InvalidInput(str(error), "JSONDATA") from None
    except (msgspec.DecodeError, RecursionError):
        raise InvalidInput("is not JSON", "JSONDATA") from None
    return [_of_nrdp(result) for result in found.checkresults]


def read_nrdp_xml(text: str) -> list[Any]:
    """The results in ``XMLDATA``. Raises InvalidInput."""
    if "<!" in text.replace("<![CDATA[", ""):
        raise InvalidInput("has a document type or a comment, which no sender needs", "XMLDATA")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without a document type there are no entities
    except (ElementTree.ParseError, ValueError):
        raise InvalidInput("is not XML", "XMLDATA") from None
    found = root.findall("checkresult")
    if len(found) > MOST_RESULTS:
        raise InvalidInput(f"has more than {MOST_RESULTS} results", "XMLDATA")
    return [
        _of_nrdp(
            {
                "checkresult": {"type": result.get("type", "service")},
                **{name: result.findtext(name, "") for name in ("servicename", "state", "output")},
            }
        )
        for result in found
    ]


def _of_nrdp(result: Any) -> Any:
    """As one of ours; what cannot be one is left as it is, to be refused with the reason."""
    try:
        read = msgspec.convert(result, _NrdpResult)
    except msgspec.ValidationError:
        return result
    if read.checkresult.type == "host":
        state = _state(read.state)
        return {"service": HOST_CHECK, "state": 2 if state in (1, 2) else state, "output": read.output}
    return {"service": read.servicename, "state": read.state, "output": read.output}


def _state(state: int | str) -> int | str:
    text = str(state).strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else _WORDS.get(text.upper(), text)


class PassiveResults:
    """The last result of every service. rates: counters made into rates. latest: the newest sample of a plugin."""

    def __init__(self, rates: Rates, latest: Callable[[int, str], Sample | None]) -> None:
        self._rates = rates
        self._latest = latest
        self._pieces = Pieces()

    def take(self, host: Host, results: Iterable[Any], now: Moment) -> Taken:
        """A sample of all that is known with these. results: JSON values, each looked at by itself."""
        self._recall(host.id, now.wall)
        taken, refused = 0, 0
        problems: list[str] = []
        known = self._pieces.whole(host.id, PLUGIN, now.wall)
        metrics = sum(map(len, known.values()))
        for index, value in enumerate(results):
            try:
                name, data = self._read(host.id, value, now)
                if name not in known and len(known) >= MOST_SERVICES:
                    raise InvalidInput(f"the host has {MOST_SERVICES} services already")
                more = len(data) - len(known.get(name, ()))
                if metrics + more > MOST_METRICS:
                    raise InvalidInput(f"the services of the host have more than {MOST_METRICS} metrics")
            except (InvalidInput, msgspec.ValidationError) as problem:
                refused += 1
                if len(problems) < PROBLEMS_TOLD:
                    problems.append(f"result {index}: {problem}")
                continue
            taken, metrics = taken + 1, metrics + more
            known[name] = data
            self._pieces.put(host.id, PLUGIN, name, {name: data}, now.wall, keep=KEPT_SECONDS)
        return Taken([Sample(PLUGIN, now.wall, known)] if taken else [], taken, refused, problems)

    def _read(self, host_id: int, value: Any, now: Moment) -> tuple[str, Data]:
        result = msgspec.convert(value, Result)
        name = result.service.strip()
        if not 0 < len(name) <= LONGEST_SERVICE or not name.isprintable():
            raise InvalidInput(f"expected 1-{LONGEST_SERVICE} characters that can be seen", "service")
        state = _state(result.state)
        if state not in (0, 1, 2, 3):
            raise InvalidInput("expected 0, 1, 2, 3, or OK, WARNING, CRITICAL, UNKNOWN", "state")
        printed = perfdata.read(result.output)
        counters = {f"{label}_per_second": printed.values[label] for label in printed.counters}
        rates = self._rates.of(host_id, f"{NAME} {name}", counters, now.mono) if counters else {}
        return name, perfdata.metrics(int(state), printed) | {"checked": now.wall} | rates

    def _recall(self, host_id: int, now: float) -> None:
        """After a start of the daemon the last results still hold."""
        if self._pieces.knows(host_id, PLUGIN):
            return
        latest = self._latest(host_id, PLUGIN)
        for name, data in latest.data.items() if latest is not None else ():
            checked = data.get("checked") if isinstance(data, dict) else None
            if isinstance(checked, float) and now - checked < KEPT_SECONDS:
                self._pieces.put(host_id, PLUGIN, name, {name: data}, checked, keep=KEPT_SECONDS)

    def forget(self, host: Host) -> None:
        """The host is gone."""
        self._pieces.forget(host.id)
