"""What an import would do, as data and in words. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from hbd.channels.base import ChannelType
from hbd.channels.spec import HIDDEN, ChannelSpec
from hbd.config.structs import ChannelSettings, Section
from hbd.settings.writing import plain, scalar, whole

Kind = Literal["user", "config user", "host", "process", "job", "channel", "route", "window", "silence"]
Thing = Section | ChannelSettings

_WORDS: dict[Kind, str] = {
    "config user": "user of the config file",
    "process": "watched process",
    "channel": "notification channel",
    "route": "notification route",
    "window": "maintenance window",
}
_SECRET = frozenset(("password", "ping_id", "avatar"))  # a picture is no secret, but nothing to read either
_LONGEST = 120


class Entry(NamedTuple):
    """A thing with its name, and the row that it is or would be."""

    name: str
    thing: Thing
    row: Any


class Change(NamedTuple):
    """before None: it is new. after None: it goes. host: whose it is, of processes and jobs."""

    kind: Kind
    before: Entry | None
    after: Entry | None
    host: str = ""

    @property
    def name(self) -> str:
        found = self.before or self.after
        assert found is not None
        return found.name

    @property
    def title(self) -> str:
        return f"{_WORDS.get(self.kind, self.kind)} {self.name}" + (f" of {self.host}" if self.host else "")

    @property
    def mark(self) -> Literal["+", "~", "-"]:
        if self.before is None:
            return "+"
        return "-" if self.after is None else "~"


class Plan(Struct):
    """same: things that are as the file says already. left: things that it does not name. notes: what people need to
    know. kinds: types of channels by key."""

    changes: list[Change] = field(default_factory=list)
    same: int = 0
    left: int = 0
    notes: list[str] = field(default_factory=list)
    kinds: dict[str, ChannelType] = field(default_factory=dict)


def told(plan: Plan) -> list[str]:
    """The plan as lines: ``+ user bob`` and what is said of it, ``~`` for what changes, ``-`` for what goes."""
    lines = []
    for change in plan.changes:
        lines.append(f"{change.mark} {change.title}")
        lines += [f"    {line}" for line in fields(change, plan.kinds)]
    return lines


def fields(change: Change, kinds: dict[str, ChannelType]) -> Iterator[str]:
    """``role: viewer -> admin`` of what is said otherwise, without secrets. kinds: types of channels by key."""
    if change.after is None:
        return
    before, after = (_said(entry, full=change.before is not None) for entry in (change.before, change.after))
    hidden = _hidden_keys(change, kinds)
    for name in before | after:
        if before.get(name) != after.get(name):
            old, new = (_shown(name, values.get(name), hidden) for values in (before, after))
            yield f"{name}: {new}" if change.before is None else f"{name}: {old} -> {new}"


def _said(entry: Entry | None, *, full: bool) -> dict[str, Any]:
    if entry is None:
        return {}
    if isinstance(entry.thing, ChannelSettings):
        return dict(entry.thing)
    return whole(entry.thing) if full else plain(entry.thing)


def _hidden_keys(change: Change, kinds: dict[str, ChannelType]) -> frozenset[str]:
    if change.kind != "channel":
        return _SECRET
    specs = [entry.row for entry in (change.before, change.after) if entry is not None]
    return frozenset().union(*(_hidden_settings(spec, kinds.get(spec.type)) for spec in specs))


def _hidden_settings(spec: ChannelSpec, kind: ChannelType | None) -> Iterable[str]:
    """What only the owner of a channel may see."""
    if kind is None:
        return spec.settings
    return (one.key for one in kind.fields if one.type in ("secret", "url") or one.key in ("headers", "body"))


def _shown(name: str, value: Any, hidden: frozenset[str]) -> str:
    if value in (None, "", [], ()):
        return "(none)"
    if name in hidden:
        return HIDDEN
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return (
        text
        if text.isprintable() and not isinstance(value, bool)
        else scalar(text if isinstance(value, str) else value)
    )


# ---------------------------------------------------------------------------------------------------------- comparing


def compare(
    plan: Plan, kind: Kind, there: Mapping[str, Entry], wanted: Mapping[str, Entry], *, removes: bool, host: str = ""
) -> list[Change]:
    """Add to the plan what is between things that have names. removes: whether what is not wanted goes."""
    found = []
    for key, after in wanted.items():
        before = there.get(key)
        if before is not None and before.thing == after.thing:
            plan.same += 1
        else:
            found.append(Change(kind, before, after, host))
    others = [entry for key, entry in there.items() if key not in wanted]
    return _put(plan, kind, found, others, removes=removes, host=host)


def compare_lists(
    plan: Plan, kind: Kind, there: Sequence[Entry], wanted: Sequence[Entry], *, removes: bool, by_name: bool = True
) -> list[Change]:
    """The same for things whose names may be those of others too: what is the same belongs together, then (by_name)
    what has the same name. Authors stay, and what is said of them is no difference."""
    left = dict(enumerate(there))
    alike: dict[Thing, list[int]] = defaultdict(list)
    named: dict[str, list[int]] = defaultdict(list)
    for number, entry in reversed(left.items()):
        alike[_unsigned(entry.thing)].append(number)
        named[entry.name].append(number)
    new = []
    for after in wanted:
        if same := alike[_unsigned(after.thing)]:
            del left[same.pop()]
            plan.same += 1
        else:
            new.append(after)
    found = []
    for after in new:
        free = [number for number in named[after.name] if number in left] if by_name else []
        found.append(Change(kind, left.pop(free[-1]) if free else None, after))
    return _put(plan, kind, found, left.values(), removes=removes)


def _put(
    plan: Plan, kind: Kind, found: list[Change], others: Iterable[Entry], *, removes: bool, host: str = ""
) -> list[Change]:
    going = [Change(kind, entry, None, host) for entry in others]
    if removes:
        found += going
    else:
        plan.left += len(going)
    plan.changes += found
    return found


def _unsigned(thing: Thing) -> Thing:
    assert isinstance(thing, Section), "channels have names of their own"
    return replace(thing, author="")
