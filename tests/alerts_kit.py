"""One path that is judged, by hand, with a disk that keeps what is told of it."""

from typing import Any

from hbd.alerts import Alert, AlertEvent, AlertRow, Alerts, Flapping, Plan
from hbd.config.structs import Threshold
from hbd.model import Level, Moment
from hbd.rules import Rule, Verdict

OK, WARNING, CRITICAL, UNKNOWN = Level.OK, Level.WARNING, Level.CRITICAL, Level.UNKNOWN
HOST, PLUGIN, PATH = 7, "cpu_monitor", "cpu_monitor.cpu_percent"
WALL = 1_700_000_000.0
VALUES = {OK: 40.0, WARNING: 92.5, CRITICAL: 97.0, UNKNOWN: 3.0}


def rule(**settings: Any) -> Rule:
    return Rule(("cpu_monitor", "cpu_percent"), Threshold(warning=90.0, critical=95.0, **settings), "default")


class World:
    """A daemon whose clock stands at ``seconds`` and whose disk holds ``rows``."""

    def __init__(self, rule: Rule = rule(), flapping: Flapping = Flapping()) -> None:  # noqa: B008 - they are frozen
        self.rule = rule
        self.flapping = flapping
        self.alerts = Alerts(flapping)
        self.rows: dict[tuple[int, str], AlertRow] = {}
        self.events: list[AlertEvent] = []
        self.seconds = 0.0
        self.jump = 0.0

    @property
    def now(self) -> Moment:
        return Moment(WALL + self.seconds + self.jump, 500.0 + self.seconds)

    def verdict(self, level: Level, path: str = PATH) -> Verdict:
        return Verdict(path, level, VALUES[level], self.rule)

    def commit(self, plan: Plan) -> None:
        for row in plan.rows:
            self.rows[row.host_id, row.path] = row
        for key in plan.gone:
            del self.rows[key]
        self.events += plan.events
        self.alerts.adopt(plan)

    def sample(self, at: float, *levels: Level, age: float = 0.0, **paths: Level) -> None:
        """A turn with one sample that comes in at a second, ``age`` seconds after it was measured, and with a tick."""
        self.seconds = at
        plan = self.alerts.begin(self.now)
        verdicts = [self.verdict(level) for level in levels]
        verdicts += [self.verdict(level, f"{PLUGIN}.{name}") for name, level in paths.items()]
        plan.judge(HOST, PLUGIN, verdicts, self.now.wall - age, self.now)
        plan.tick(self.now)
        self.commit(plan)

    def tick(self, at: float) -> None:
        self.seconds = at
        plan = self.alerts.begin(self.now)
        plan.tick(self.now)
        self.commit(plan)

    def live(self, at: float, level: Level, reason: str = "", path: str = "presence.host") -> None:
        self.seconds = at
        plan = self.alerts.begin(self.now)
        plan.liveness(HOST, path, level, reason, self.now)
        self.commit(plan)

    def restart(self, at: float) -> None:
        self.seconds = at
        self.alerts = Alerts(self.flapping)
        self.alerts.load(self.rows.values(), self.now, [(HOST, PLUGIN, self.now.wall - 1)] if self.rows else [])

    @property
    def told(self) -> list[tuple[Level, Level]]:
        return [(event.before, event.after) for event in self.events]

    @property
    def alert(self) -> Alert:
        alert = self.alerts.get(HOST, PATH)
        assert alert is not None
        return alert
