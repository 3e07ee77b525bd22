"""What channels are to know and were told, by plain calls."""

from hbd.alert_state import AlertEvent, Told
from hbd.alerts import Alert
from hbd.model import Level, Moment
from hbd.notices import HOST_GONE, Notice, Notices, Routing, Target

OK, WARNING, CRITICAL = Level.OK, Level.WARNING, Level.CRITICAL
NOW = Moment(1000.0, 50.0)


class Ways(Routing):
    def __init__(self, *targets: Target, settling: float = 0.0) -> None:
        self.found = list(targets)
        self.wait = settling

    def targets(self, host_id, path, level):
        return self.found

    def host_name(self, host_id):
        return f"web{host_id}"

    def settling(self, host_id, path, level):
        return self.wait


def event(
    after: Level, before: Level = OK, problem: str = "p1", at: float = 1000.0, flapping: str = "", host_id: int = 1
):
    return AlertEvent(
        f"{problem}-{at}", problem, host_id, "cpu.percent", before, after, at, 95.5, "CPU 95.5 > 90", flapping
    )


def happen(notices: Notices, *events: AlertEvent, now: Moment = NOW, still_open=()) -> None:
    notices.adopt(notices.begin(events, still_open, now))


def told(notices: Notices, channel: str = "ops", now: Moment = NOW) -> None:
    notices.tell([notice for notice in notices.news(channel) if not notice.closed], now)


def only(notices: Notices, channel: str = "ops") -> Notice:
    (notice,) = notices.of_channel(channel)
    return notice


def test_a_problem_is_news_for_each_of_its_channels():
    notices = Notices(Ways(Target("ops", "route x"), Target("mail", "owner al")))
    happen(notices, event(CRITICAL))
    assert {notice.channel: notice.level for notice in [*notices.news("ops"), *notices.news("mail")]} == {
        "ops": CRITICAL,
        "mail": CRITICAL,
    }


def test_what_was_told_is_no_news():
    notices = Notices(Ways(Target("ops", "")))
    happen(notices, event(CRITICAL))
    told(notices)
    assert not list(notices.news("ops"))


def test_another_level_is_news_under_the_same_problem():
    notices = Notices(Ways(Target("ops", "")))
    happen(notices, event(WARNING))
    told(notices)
    happen(notices, event(CRITICAL, WARNING))
    (notice,) = notices.news("ops")
    assert (notice.problem, notice.told, notice.level) == ("p1", WARNING, CRITICAL)


def test_the_end_is_told_to_who_was_told_though_nobody_would_be_told_now():
    ways = Ways(Target("ops", ""))
    notices = Notices(ways)
    happen(notices, event(CRITICAL))
    told(notices)
    ways.found = []
    happen(notices, event(OK, CRITICAL))
    (notice,) = notices.news("ops")
    assert notice.over and not notice.closed


def test_a_problem_that_was_over_before_it_was_told_is_closed():
    notices = Notices(Ways(Target("ops", "")))
    happen(notices, event(CRITICAL))
    happen(notices, event(OK, CRITICAL))
    assert only(notices).closed


def test_a_problem_that_is_owed_is_told_though_it_is_over():
    notices = Notices(Ways(Target("ops", "")))
    happen(notices, event(CRITICAL))
    notices.owe([("p1", "ops")])
    happen(notices, event(OK, CRITICAL))
    notice = only(notices)
    assert (notice.closed, notice.worst) == (False, CRITICAL)


def test_a_level_that_came_back_to_what_was_told_is_no_news():
    notices = Notices(Ways(Target("ops", "")))
    happen(notices, event(WARNING))
    told(notices)
    happen(notices, event(CRITICAL, WARNING))
    happen(notices, event(WARNING, CRITICAL))
    assert not list(notices.news("ops"))


def test_an_escalation_waits_from_the_beginning_of_the_problem():
    notices = Notices(Ways(Target("boss", "route x", 900.0)))
    happen(notices, event(WARNING))
    happen(notices, event(CRITICAL, WARNING, at=1300.0), now=Moment(1300.0, 350.0))
    assert only(notices, "boss").after == 950.0


def test_what_may_pass_soon_waits_and_what_follows_does_not():
    ways = Ways(Target("ops", ""), settling=35.0)
    notices = Notices(ways)
    happen(notices, event(WARNING))
    assert only(notices).due == 85.0
    ways.wait = 0.0
    happen(notices, event(CRITICAL, WARNING), now=Moment(1020.0, 70.0))
    assert only(notices).due == 70.0


def test_a_plan_that_is_thrown_away_leaves_no_trace():
    notices = Notices(Ways(Target("ops", "")))
    notices.begin([event(CRITICAL)], (), NOW)
    assert len(notices) == 0


def test_what_is_told_while_an_event_is_being_written_is_not_forgotten():
    notices = Notices(Ways(Target("ops", "")))
    happen(notices, event(WARNING))
    plan = notices.begin([event(CRITICAL, WARNING)], (), NOW)
    told(notices)
    notices.adopt(plan)
    assert (only(notices).told, only(notices).level, only(notices).count) == (WARNING, CRITICAL, 1)


def test_an_end_in_the_same_turn_as_a_new_route_reaches_what_the_route_found():
    notices = Notices(Ways(Target("ops", "")))
    notices.reroute()
    alert = Alert(1, "cpu.percent", "cpu", 95.0, 990.0, None, Told(CRITICAL, 990.0, problem="p1"))
    happen(notices, event(OK, CRITICAL), still_open=[alert])
    assert only(notices).closed


def test_rerouting_tells_open_problems_to_new_channels_and_not_twice_to_old_ones():
    ways = Ways(Target("ops", ""))
    notices = Notices(ways)
    happen(notices, event(CRITICAL))
    told(notices)
    ways.found = [Target("ops", ""), Target("mail", "")]
    notices.reroute()
    alert = Alert(1, "cpu.percent", "cpu", 95.0, 990.0, None, Told(CRITICAL, 990.0, problem="p1"))
    happen(notices, still_open=[alert])
    assert (list(notices.news("ops")), [n.channel for n in notices.news("mail")]) == ([], ["mail"])
    assert not notices.has_wishes


def test_a_fallback_is_asked_for_in_the_next_turn_and_hears_the_end_too():
    notices = Notices(Ways(Target("ops", "")))
    happen(notices, event(CRITICAL))
    notices.ask("p1", "mail", "instead of ops")
    happen(notices)
    told(notices, "mail")
    happen(notices, event(OK, CRITICAL))
    (notice,) = notices.news("mail")
    assert notice.over and notice.why == "instead of ops"


def test_a_host_that_is_removed_ends_its_problems():
    notices = Notices(Ways(Target("ops", "")))
    happen(notices, event(CRITICAL), event(CRITICAL, problem="p2", host_id=2))
    told(notices)
    notices.forget_host(1)
    happen(notices)
    (notice,) = notices.news("ops")
    assert (notice.problem, notice.over, notice.reason) == ("p1", True, HOST_GONE)


def test_flapping_is_news_at_its_beginning_and_at_its_end_and_never_between():
    notices = Notices(Ways(Target("ops", "")))
    happen(notices, event(CRITICAL))
    told(notices)
    happen(notices, event(OK, CRITICAL, flapping="begins"))
    assert [notice.flapping for notice in notices.news("ops")] == [True]
    told(notices)
    happen(notices, event(CRITICAL, OK, flapping="goes on"))
    assert not list(notices.news("ops"))
    happen(notices, event(OK, OK, flapping="ends"))
    (notice,) = notices.news("ops")
    assert notice.over


def test_what_flaps_and_gets_worse_than_it_ever_was_is_told_at_once():
    notices = Notices(Ways(Target("ops", "")))
    happen(notices, event(WARNING))
    happen(notices, event(OK, WARNING, flapping="begins"))
    told(notices)
    happen(notices, event(WARNING, OK, flapping="goes on"))
    quiet = list(notices.news("ops"))
    happen(notices, event(CRITICAL, WARNING, flapping="goes on"))
    (notice,) = notices.news("ops")
    assert (quiet, notice.level, notice.flapping) == ([], CRITICAL, True)


def test_flapping_that_ends_in_a_problem_says_so():
    notices = Notices(Ways(Target("ops", "")))
    happen(notices, event(CRITICAL))
    told(notices)
    happen(notices, event(OK, CRITICAL, flapping="begins"))
    told(notices)
    happen(notices, event(CRITICAL, CRITICAL, flapping="ends"))
    (notice,) = notices.news("ops")
    assert (notice.level, notice.flapping, notice.told_flapping) == (CRITICAL, False, True)


def test_what_was_given_up_is_no_news_until_it_is_revived():
    notices = Notices(Ways(Target("ops", "")))
    happen(notices, event(CRITICAL))
    notices.give_up({("p1", "ops"): "refused"})
    assert (list(notices.news("ops")), [n.dead for n in notices.dead()]) == ([], ["refused"])
    notices.revive(("p1", "ops"), NOW)
    assert [notice.dead for notice in notices.news("ops")] == [""]


def test_a_new_event_is_tried_though_the_last_one_was_given_up():
    notices = Notices(Ways(Target("ops", "")))
    happen(notices, event(WARNING))
    notices.give_up({("p1", "ops"): "refused"})
    happen(notices, event(CRITICAL, WARNING))
    assert [notice.level for notice in notices.news("ops")] == [CRITICAL]


def test_how_often_people_were_told_is_by_the_channel_that_told_most():
    notices = Notices(Ways(Target("ops", ""), Target("mail", "")))
    happen(notices, event(WARNING))
    told(notices)
    happen(notices, event(CRITICAL, WARNING))
    told(notices)
    told(notices, "mail")
    assert notices.times_told("p1") == 2


def test_what_is_closed_is_gone_from_every_index():
    notices = Notices(Ways(Target("ops", "")))
    happen(notices, event(CRITICAL))
    notices.close([("p1", "ops")])
    assert (len(notices), notices.channels(), notices.of_problem("p1"), list(notices.news("ops"))) == (0, [], [], [])
