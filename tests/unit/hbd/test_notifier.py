"""What is sent when, with a real database and channels that answer as a script says."""

from zoneinfo import ZoneInfo

import msgspec
from notifier_world import CRITICAL, NOON, OK, WARNING, TellingWorld, Way

from hbd.channel_line import FIRST_RETRY, MOST_ITEMS
from hbd.channels.base import SendFailed
from hbd.channels.webhook import MAX_PROBLEMS
from hbd.config import Config
from hbd.errors import StorageError
from hbd.notice_sorting import GIVE_UP_SECONDS
from hbd.routing import held
from hbd.schedule import QuietHours


async def test_a_problem_and_its_end_are_told_under_one_id(world):
    await world.happen(world.event(CRITICAL))
    await world.pass_time(60)
    await world.happen(world.event(OK, CRITICAL))
    assert world.taken() == [[("p1", CRITICAL, 1)], [("p1", OK, 2)]]


async def test_a_problem_that_was_told_to_its_end_leaves_nothing_behind(world):
    await world.happen(world.event(CRITICAL))
    await world.pass_time(60)
    await world.happen(world.event(OK, CRITICAL))
    assert (len(world.notices), await world.store.notices.all(world.now)) == (0, [])


async def test_everything_that_happens_at_once_is_one_message(world):
    await world.happen(*(world.event(CRITICAL, problem=f"p{n}", host_id=n) for n in (1, 2, 3)))
    assert [len(message) for message in world.taken()] == [3]


async def test_what_follows_soon_after_a_message_is_gathered(world):
    await world.happen(world.event(CRITICAL))
    await world.happen(world.event(CRITICAL, problem="p2", host_id=2))
    await world.happen(world.event(CRITICAL, problem="p3", host_id=3))
    await world.pass_time(5)
    assert [len(message) for message in world.taken()] == [1, 2]


async def test_a_message_after_a_calm_minute_goes_at_once(world):
    await world.happen(world.event(CRITICAL))
    await world.pass_time(60)
    await world.happen(world.event(CRITICAL, problem="p2", host_id=2))
    assert len(world.taken()) == 2


async def test_a_restart_tells_nothing_twice_and_nothing_less(world):
    await world.happen(world.event(CRITICAL))
    world.restart()
    world.notices.load(await world.store.notices.all(world.now))
    await world.settle()
    await world.pass_time(60)
    await world.happen(world.event(OK, CRITICAL))
    assert world.taken() == [[("p1", CRITICAL, 1)], [("p1", OK, 2)]]


async def test_what_a_crash_kept_from_being_written_down_comes_again_under_the_same_number(world):
    await world.happen(world.event(CRITICAL))
    await world.store.database.write(lambda db: db.execute("UPDATE notices SET told = NULL, count = 0"))
    world.restart()
    world.notices.load(await world.store.notices.all(world.now))
    await world.settle()
    assert world.taken() == [[("p1", CRITICAL, 1)], [("p1", CRITICAL, 1)]]
    first, second = world.ways.channels["ops"].taken
    assert first.id == second.id


async def test_a_service_that_forgets_is_reminded_after_a_restart_too(world):
    world.ways.channels["ops"].refresh = 60.0
    await world.happen(world.event(CRITICAL))
    world.restart()
    world.notices.load(await world.store.notices.all(world.now))
    await world.pass_time(1)
    assert world.taken() == [[("p1", CRITICAL, 1)], [("p1", CRITICAL, 2)]]


async def test_a_crash_while_a_message_is_on_its_way_leaves_its_end_owed(world):
    ops = world.ways.channels["ops"]
    ops.gate.clear()
    await world.happen(world.event(CRITICAL))  # the service may have heard of it; nobody knows
    await world.notifier.close()
    ops.gate.set()
    world.restart()
    world.notices.load(await world.store.notices.all(world.now))
    await world.happen(world.event(OK, CRITICAL))
    assert world.taken() == [[("p1", OK, 2)]]


async def test_what_may_have_been_heard_is_followed_below_the_least_level_too(store):
    world = TellingWorld(store, ops=Way(min_level=CRITICAL))
    world.ways.channels["ops"].answers = [SendFailed("no answer within 10 s")]
    await world.happen(world.event(CRITICAL))
    await world.happen(world.event(WARNING, CRITICAL))
    await world.pass_time(60)
    assert world.taken() == [[("p1", WARNING, 2)]]


async def test_a_level_that_may_have_been_heard_is_taken_back(world):
    await world.happen(world.event(WARNING))
    await world.pass_time(60)
    world.ways.channels["ops"].answers = [SendFailed("no answer within 10 s")]
    await world.happen(world.event(CRITICAL, WARNING))
    await world.happen(world.event(WARNING, CRITICAL))
    await world.pass_time(60)
    assert world.taken() == [[("p1", WARNING, 1)], [("p1", WARNING, 3)]]


async def test_what_may_have_been_heard_and_what_follows_it_have_different_numbers(world):
    ops = world.ways.channels["ops"]
    ops.answers = [SendFailed("no answer within 10 s")] * 2
    await world.happen(world.event(WARNING))
    await world.pass_time(FIRST_RETRY)
    await world.happen(world.event(CRITICAL, WARNING))
    await world.pass_time(60)
    tried = [(item.level, item.number) for message in ops.tried for item in message.items]
    assert tried == [(WARNING, 1), (WARNING, 1), (CRITICAL, 2)]


async def test_word_of_failing_storage_goes_out_though_what_was_sent_cannot_be_written_down(world, monkeypatch):
    async def refuse(*args, **kwargs):
        raise StorageError("disk full")

    monkeypatch.setattr(world.store.notices, "tell", refuse)
    await world.happen(world.event(CRITICAL))
    world.notifier.say("ops", "hbd: storage is degraded", "disk full", CRITICAL)
    await world.pass_time(60)
    assert [message.title for message in world.ways.channels["ops"].taken][1:] == ["hbd: storage is degraded"]


async def test_a_failed_message_is_tried_again_later_and_later(world):
    ops = world.ways.channels["ops"]
    ops.answers = [SendFailed("status 500")] * 3
    await world.happen(world.event(CRITICAL))
    tries = [len(ops.tried)]
    for wait in (FIRST_RETRY - 1, 1, 2 * FIRST_RETRY - 1, 1, 4 * FIRST_RETRY):
        await world.pass_time(wait)
        tries.append(len(ops.tried))
    assert (tries, world.taken()) == ([1, 1, 2, 2, 3, 4], [[("p1", CRITICAL, 1)]])


async def test_a_service_that_asks_for_time_gets_it(world):
    world.ways.channels["ops"].answers = [SendFailed("status 429", retry_after=120.0)]
    await world.happen(world.event(CRITICAL))
    await world.pass_time(119)
    before = len(world.taken())
    await world.pass_time(1)
    assert (before, len(world.taken())) == (0, 1)


async def test_what_ended_while_a_service_was_away_is_told_once_as_over(world):
    world.ways.channels["ops"].answers = [SendFailed("status 500")]
    await world.happen(world.event(CRITICAL))
    await world.happen(world.event(OK, CRITICAL))
    await world.pass_time(FIRST_RETRY)
    assert world.taken() == [[("p1", OK, 2)]]
    assert "was CRITICAL" in world.ways.channels["ops"].taken[0].title


async def test_one_that_hangs_holds_up_nobody_else(store):
    world = TellingWorld(store, ops=Way(), mail=Way())
    world.ways.channels["ops"].gate.clear()
    await world.happen(world.event(CRITICAL))
    assert (world.taken("ops"), len(world.taken("mail"))) == ([], 1)
    await world.notifier.close()


async def test_one_problem_that_a_service_refuses_is_found_and_put_aside(world):
    world.ways.channels["ops"].refuses = lambda item: item.id == "p2"
    await world.happen(*(world.event(CRITICAL, problem=f"p{n}", host_id=n) for n in (1, 2, 3)))
    for _ in range(6):
        await world.pass_time(60)
    sent = {item[0] for message in world.taken() for item in message}
    assert (sent, [(n.problem, n.dead) for n in world.notices.dead()]) == ({"p1", "p3"}, [("p2", "status 400")])


async def test_a_channel_that_is_refused_as_such_keeps_its_messages(world):
    world.ways.channels["ops"].answers = [SendFailed("status 401", permanent=True)]
    await world.happen(world.event(CRITICAL))
    await world.pass_time(FIRST_RETRY)
    assert (world.taken(), world.notices.dead()) == ([[("p1", CRITICAL, 1)]], [])


async def test_what_was_put_aside_can_be_sent_again(world):
    ops = world.ways.channels["ops"]
    ops.answers = [SendFailed("status 400", permanent=True, refused=True)]
    await world.happen(world.event(CRITICAL))
    assert await world.notifier.resend(("p1", "ops"))
    await world.pass_time(60)
    assert world.taken() == [[("p1", CRITICAL, 1)]]


async def test_what_was_given_up_after_a_day_is_tried_again_at_once_when_somebody_asks(world):
    ops = world.ways.channels["ops"]
    ops.answers = [SendFailed("status 500")] * 1000
    await world.happen(world.event(CRITICAL))
    for _ in range(int(GIVE_UP_SECONDS // 700) + 3):
        await world.pass_time(700)
    ops.answers = []
    assert await world.notifier.resend(("p1", "ops"))
    await world.pass_time(1)
    assert world.taken() == [[("p1", CRITICAL, 1)]]


async def test_what_was_put_aside_stays_so_over_a_restart(world):
    world.ways.channels["ops"].answers = [SendFailed("status 400", permanent=True, refused=True)]
    await world.happen(world.event(CRITICAL))
    world.restart()
    world.notices.load(await world.store.notices.all(world.now))
    await world.pass_time(60)
    assert (world.taken(), len(world.notices.dead())) == ([], 1)


async def test_after_a_day_of_failures_a_problem_is_given_up(world):
    world.ways.channels["ops"].answers = [SendFailed("status 500")] * 1000
    await world.happen(world.event(CRITICAL))
    for _ in range(int(GIVE_UP_SECONDS // 700) + 3):
        await world.pass_time(700)
    assert [notice.dead for notice in world.notices.dead()] == ["not taken for 24 h: status 500"]


async def test_the_fallback_is_told_of_the_problem_and_its_end(store):
    world = TellingWorld(store, ops=Way(fallback="mail"), mail=Way())
    world.ways.channels["ops"].answers = [SendFailed("status 500")] * 100
    world.router.config = msgspec.convert({"notification_routes": {"all": {"channels": ["ops"]}}}, Config)
    await world.happen(world.event(CRITICAL))
    await world.pass_time(FIRST_RETRY)
    await world.happen()
    await world.pass_time(60)
    await world.happen(world.event(OK, CRITICAL))
    assert world.taken("mail") == [[("p1", CRITICAL, 1)], [("p1", OK, 2)]]


async def test_what_is_held_is_not_sent_and_the_log_says_why(world):
    world.hold = lambda notice: held("silence", "silence of ann: moving house")
    await world.happen(world.event(CRITICAL))
    (entry,) = await world.store.notices.log(10)
    assert (world.taken(), entry.outcome, entry.detail) == ([], "held", "silence of ann: moving house")


async def test_what_was_held_is_sent_when_nothing_holds_it_any_more(world):
    world.hold = lambda notice: held("silence", "moving house")
    await world.happen(world.event(CRITICAL))
    world.hold = lambda notice: None
    await world.pass_time(1)
    assert world.taken() == [[("p1", CRITICAL, 1)]]


async def test_the_end_of_what_was_told_is_never_held(world):
    await world.happen(world.event(CRITICAL))
    world.hold = lambda notice: held("silence", "moving house")
    await world.pass_time(60)
    await world.happen(world.event(OK, CRITICAL))
    assert world.taken()[-1] == [("p1", OK, 2)]


async def test_what_began_and_ended_in_a_silence_is_never_sent(world):
    world.hold = lambda notice: held("silence", "moving house")
    await world.happen(world.event(CRITICAL))
    await world.happen(world.event(OK, CRITICAL))
    world.hold = lambda notice: None
    await world.pass_time(60)
    assert (world.taken(), len(world.notices)) == ([], 0)


async def test_quiet_hours_hold_and_then_tell_even_what_is_over(store):
    quiet = QuietHours.read("11:00", "13:00", (), "UTC")
    world = TellingWorld(store, ops=Way(quiet=quiet))
    await world.happen(world.event(WARNING))
    await world.happen(world.event(OK, WARNING))
    assert world.taken() == []
    await world.pass_time(3600)
    assert world.taken() == [[("p1", OK, 1)]]


async def test_what_is_bad_enough_comes_through_quiet_hours_and_so_does_its_end(store):
    quiet = QuietHours.read("11:00", "13:00", (), "UTC")
    world = TellingWorld(store, ops=Way(quiet=quiet))
    await world.happen(world.event(CRITICAL))
    await world.pass_time(60)
    await world.happen(world.event(OK, CRITICAL))
    assert world.taken() == [[("p1", CRITICAL, 1)], [("p1", OK, 2)]]


async def test_a_problem_that_goes_on_is_told_again(world):
    await world.happen(world.event(CRITICAL))
    await world.pass_time(4 * 3600 - 10)
    before = len(world.taken())
    await world.pass_time(20)
    assert (before, world.taken()[1:]) == (1, [[("p1", CRITICAL, 2)]])
    assert "still so" in world.ways.channels["ops"].taken[1].title


async def test_nothing_is_told_again_on_a_channel_without_repeats(store):
    world = TellingWorld(store, ops=Way(repeat=0.0))
    await world.happen(world.event(CRITICAL))
    await world.pass_time(100 * 3600)
    assert len(world.taken()) == 1


async def test_a_channel_that_is_gone_gives_back_what_waited_for_it_and_says_so(world):
    world.hold = lambda notice: held("silence", "moving house")
    await world.happen(world.event(CRITICAL))
    del world.ways["ops"]
    await world.pass_time(1)
    log = await world.store.notices.log(10)
    assert (len(world.notices), log[0].outcome, log[0].detail) == (0, "dropped", "the channel is gone")


async def test_a_disk_that_refuses_keeps_a_message_from_being_sent_twice(world, monkeypatch):
    tables = world.store.notices
    real = tables.tell

    async def refuse(*args, **kwargs):
        raise StorageError("disk full")

    monkeypatch.setattr(tables, "tell", refuse)
    await world.happen(world.event(CRITICAL))
    await world.pass_time(60)
    monkeypatch.setattr(tables, "tell", real)
    await world.pass_time(60)
    (row,) = await tables.all(world.now)
    assert (len(world.taken()), row.told, row.count) == (1, CRITICAL, 1)


async def test_a_channel_that_fails_says_since_when_and_why(world):
    world.ways.channels["ops"].answers = [SendFailed("status 500")]
    await world.happen(world.event(CRITICAL))
    state = world.notifier.state("ops")
    assert (state.failing_since, state.last_error, state.waiting) == (NOON, "status 500", 1)


async def test_a_fault_in_a_channel_is_a_failure_like_others(world, caplog):
    world.ways.channels["ops"].answers = [ZeroDivisionError("oh")]
    await world.happen(world.event(CRITICAL))
    await world.pass_time(60)
    assert world.taken() == [[("p1", CRITICAL, 1)]]


async def test_more_than_fits_into_one_message_goes_in_several(world):
    await world.happen(*(world.event(CRITICAL, problem=f"p{n}") for n in range(MOST_ITEMS + 5)))
    await world.pass_time(5)
    assert [len(message) for message in world.taken()] == [MOST_ITEMS, 5]


def test_a_webhook_is_sent_no_more_problems_than_it_writes_out():
    assert MOST_ITEMS <= MAX_PROBLEMS


async def test_what_is_below_the_least_level_by_the_time_it_may_be_told_is_not(store):
    world = TellingWorld(store, ops=Way(min_level=CRITICAL))
    world.hold = lambda notice: held("silence", "moving house")
    await world.happen(world.event(CRITICAL))
    await world.happen(world.event(WARNING, CRITICAL))
    world.hold = lambda notice: None
    await world.pass_time(60)
    assert world.taken() == []


async def test_a_channel_that_nothing_names_any_more_is_not_told_what_it_waited_for(world):
    world.hold = lambda notice: held("silence", "moving house")
    await world.happen(world.event(CRITICAL))
    world.router.config = Config()
    world.hold = lambda notice: None
    await world.pass_time(1)
    log = await world.store.notices.log(1)
    assert (world.taken(), log[0].detail) == ([], "nothing names this channel for it any more")


async def test_a_channel_that_nothing_names_any_more_is_told_the_end_of_what_it_was_told(world):
    await world.happen(world.event(CRITICAL))
    world.router.config = Config()
    await world.pass_time(60)
    await world.happen(world.event(OK, CRITICAL))
    assert world.taken()[1:] == [[("p1", OK, 2)]]


async def test_a_channel_that_comes_back_is_told_the_end_of_what_it_was_told(world):
    await world.happen(world.event(CRITICAL))
    way = world.ways.pop("ops")
    await world.pass_time(60)
    await world.happen(world.event(OK, CRITICAL))
    world.ways["ops"] = way
    await world.pass_time(60)
    assert world.taken() == [[("p1", CRITICAL, 1)], [("p1", OK, 2)]]


async def test_what_was_dismissed_is_neither_shown_nor_made_anew(world):
    world.ways.channels["ops"].answers = [SendFailed("status 400", refused=True)]
    await world.happen(world.event(CRITICAL))
    assert await world.notifier.dismiss(("p1", "ops"))
    world.notices.reroute()
    await world.happen()
    await world.pass_time(60)
    assert (world.notices.dead(), world.taken()) == ([], [])


async def test_what_was_given_up_and_goes_on_is_told_when_messages_are_taken_again(world):
    ops = world.ways.channels["ops"]
    ops.answers = [SendFailed("status 500")] * 1000
    await world.happen(world.event(CRITICAL))
    for _ in range(int(GIVE_UP_SECONDS // 700) + 3):
        await world.pass_time(700)
    ops.answers = []
    await world.happen(world.event(CRITICAL, problem="p2", host_id=2))
    for _ in range(4):
        await world.pass_time(700)
    assert {item[0] for message in world.taken() for item in message} == {"p1", "p2"}


async def test_a_channel_that_refuses_message_after_message_counts_as_failing(world):
    world.ways.channels["ops"].answers = [SendFailed("status 400", refused=True)] * 3
    for number in range(3):
        await world.happen(world.event(CRITICAL, problem=f"p{number}"))
        await world.pass_time(60)
    assert list(world.notifier.failing()) == ["ops"]


async def test_times_are_those_of_the_channels_time_zone(store):
    world = TellingWorld(store, ops=Way(zone=ZoneInfo("Asia/Tokyo")))
    await world.happen(world.event(CRITICAL))
    assert "21:00:00 JST" in world.ways.channels["ops"].taken[0].text


async def test_what_is_held_does_not_wait_for_the_channel(world):
    world.hold = lambda notice: held("silence", "moving house")
    await world.happen(world.event(CRITICAL))
    assert world.notifier.state("ops").waiting == 0
