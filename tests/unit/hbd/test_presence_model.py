"""Presence against a model that keeps every sign of life and works all states out from nothing at every step."""

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from hbd.model import Family, Heartbeat, Moment, State
from hbd.presence import KnownConnection, Presence

FAMILIES = (Family.IPV4, Family.IPV6, None)
SEVERITY = (State.UP, State.OVERDUE, State.DOWN)
DEFAULT = 10.0
BLIND_AFTER = 2.0


class ModelConnection:
    def __init__(self, born: float) -> None:
        self.born = born
        self.times: dict[str, list[float]] = {"beat": [], "report": []}
        self.said: dict[str, float] = {}
        self.state = State.UNKNOWN
        self.allowed = inf


class Model:
    """The rules of docs/decisions/0003-liveness.md, in the plainest form."""

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self.configured: float | None = None
        self.connections: dict[Family | None, ModelConnection] = {}
        self.awake = 0.0
        self.blind_until = 0.0
        self.heard = False

    def look(self, now: float) -> None:
        if now - self.awake > BLIND_AFTER:
            self.blind_until = now
        self.awake = now

    def sign(self, kind: str, family: Family | None, interval: float | None, now: float) -> None:
        self.look(now)
        link = self.connections.setdefault(family, ModelConnection(now))
        link.times[kind].append(now)
        if interval is not None:
            link.said[kind] = interval
        link.state = State.UP
        self.heard = True

    def intervals(self, link: ModelConnection) -> dict[str, float]:
        said = {kind: link.said.get(kind) or 0.0 for kind in ("beat", "report")}
        if self.configured is None:
            return {kind: said[kind] or DEFAULT for kind in said}
        return {kind: max(self.configured, said[kind]) for kind in said}

    def judge(self, now: float) -> None:
        self.look(now)
        for link in self.connections.values():
            overdue_after, down_at = self.limits(link)
            if now >= down_at:
                link.state = State.DOWN
            elif now >= overdue_after and link.state is State.UP:
                link.state = State.OVERDUE

    def in_force(self, link: ModelConnection) -> dict[str, float]:
        """The kinds that count, with their intervals."""
        heard = {kind: max(times) for kind, times in link.times.items() if times}
        intervals = self.intervals(link)
        return {
            kind: intervals[kind]
            for kind, time in heard.items()
            if max(heard.values()) - time <= intervals[kind] * self.grace
        }

    def limits(self, link: ModelConnection) -> tuple[float, float]:
        start = max(self.blind_until, link.born)
        kinds = self.in_force(link)
        if not kinds:
            down_at = start + self.intervals(link)["beat"] * self.grace
            return down_at, down_at
        silent_from = max(start, *(max(link.times[kind]) for kind in kinds))
        overdue_at = silent_from + self.on_time(min(kinds.values()))
        downs = [silent_from + min(kinds.values()) * self.grace]
        downs += [max(start, max(link.times[kind])) + self.on_time(interval) for kind, interval in kinds.items()]
        return overdue_at, max(downs)

    def on_time(self, interval: float) -> float:
        return interval + min(max(interval / 4, 0.5), interval * (self.grace - 1) / 2)

    def configure(self, grace: float, configured: float | None, now: float) -> None:
        before = [self.silence_allowed(link) for link in self.connections.values()]
        self.grace, self.configured = grace, configured
        for link, allowed in zip(self.connections.values(), before, strict=True):
            if self.silence_allowed(link) < allowed:
                link.born = now

    def silence_allowed(self, link: ModelConnection) -> float:
        return min(self.in_force(link).values(), default=self.intervals(link)["beat"]) * self.grace

    def host(self) -> State:
        states = [link.state for link in self.connections.values()]
        for state in (State.UP, State.OVERDUE):
            if state in states:
                return state
        if State.DOWN in states and (self.heard or State.UNKNOWN not in states):
            return State.DOWN
        return State.UNKNOWN


# All times are multiples of 1/8, so that sums of them are exact and a deadline can be hit to the point.
eighths = st.integers(1, 16).map(lambda n: n / 8)
intervals = st.sampled_from([None, 0.5, 1.0, 2.0, 8.0, 10.0, 24.0])
steps = st.one_of(
    st.tuples(st.just("beat"), st.sampled_from(FAMILIES[:2]), intervals),
    st.tuples(st.just("report"), st.sampled_from(FAMILIES), intervals),
    st.tuples(st.just("regular"), st.tuples(st.sampled_from(["beat", "report"]), st.integers(2, 5)), intervals),
    st.tuples(st.just("wait"), st.integers(1, 60), eighths),
    st.tuples(st.just("sleep"), st.none(), st.integers(3, 100).map(float)),
    st.tuples(st.just("stall"), st.none(), st.sampled_from([0.5, 2.0, 9.0, 50.0])),
    st.tuples(st.just("configure"), st.sampled_from([1.0, 1.5, 3.0, 5.0]), intervals),
)


@settings(max_examples=250, deadline=None)
@given(
    grace=st.sampled_from([1.0, 1.5, 2.0, 3.0]),
    known=st.sets(st.sampled_from(FAMILIES[:2])),
    path=st.lists(steps, max_size=40),
)
def test_states_are_those_of_the_model_after_every_step(grace, known, path):
    presence, model = Presence(grace, Moment(0.0, 0.0)), Model(grace)
    presence.know(1, interval=DEFAULT, known=[KnownConnection(f, "", 0.0) for f in known], now=Moment(0.0, 0.0))
    for family in known:
        model.connections[family] = ModelConnection(0.0)
    seen: dict[Family | None, State] = {None: State.UNKNOWN, **dict.fromkeys(FAMILIES[:2], State.UNKNOWN)}
    mono, seq = 0.0, 0

    def compare(transitions):
        for change in transitions:
            assert seen[change.family] is change.before
            assert change.before is not change.after
            seen[change.family] = change.after
        view = presence.view(1)
        assert view.state is seen[None] is model.host()
        shown = {family: link.state for family, link in model.connections.items() if family}
        assert {link.family: link.state for link in view.connections} == shown
        assert {family: seen[family] for family in shown} == shown
        assert presence.counts()[view.state] == sum(presence.counts().values()) == 1

    def sign(kind, family, interval):
        nonlocal seq
        seq += 1
        model.sign(kind, family, interval, mono)
        now = Moment(0.0, mono)
        if kind == "beat":
            compare(presence.beat(Heartbeat(1, family, "", "run", seq, interval=interval), now))
        else:
            compare(presence.report(1, family=family, address=None, interval=interval, now=now))

    def wait(ticks, seconds):
        nonlocal mono
        for _ in range(ticks):
            mono += seconds
            model.judge(mono)
            compare(presence.tick(Moment(0.0, mono)))

    for step, detail, number in path:
        now = Moment(0.0, mono)
        if step in ("beat", "report"):
            sign(step, detail, number)
        elif step == "regular":
            kind, times = detail
            for _ in range(times):
                sign(kind, Family.IPV4, number)
                wait(8, (number or DEFAULT) / 8)
        elif step == "configure":
            model.configure(detail, number, mono)
            presence.configure(grace=detail, intervals={1: number}, now=now)
        elif step == "stall":  # no tick comes, and the next sign of life may be the first to notice
            mono += number
        else:
            wait(detail or 1, number)
