import math
from base64 import b64decode
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbd import rollups
from hbd.rollup_bytes import decode, encode, encode_quickly
from hbd.rollups import DAY, HOUR, MINUTE, QUARTER, Bucket, Column, between, coarsen, merge, roll

DECIMALS = st.integers(-10_000, 10_000).map(lambda number: number / 100)
NUMBERS = st.one_of(
    st.integers(-(1 << 60), 1 << 60), DECIMALS, st.floats(allow_nan=False, allow_infinity=False, width=32)
)
TIMES = st.lists(st.integers(0, 7200).map(lambda tenths: 1_750_000_000 + tenths / 10), min_size=1, max_size=60)


def samples_of(times, values):
    return [(time, {"value": value}) for time, value in zip(sorted(times), values, strict=False)]


def buckets(rolled, *path):
    return list(rolled[path].buckets())


SOME = st.builds(samples_of, TIMES, st.lists(NUMBERS, min_size=60, max_size=60))
DECIMAL_SAMPLES = st.builds(samples_of, TIMES, st.lists(DECIMALS, min_size=60, max_size=60))


def test_a_bucket_has_the_least_the_most_the_mean_and_the_newest_of_its_samples():
    samples = [(60.0, {"load": 1.5}), (70.0, {"load": 0.5}), (119.9, {"load": 1.0}), (120.0, {"load": 9.0})]
    assert buckets(roll(samples, MINUTE), "load") == [
        Bucket(60, 3, 0.5, 1.5, 1.0, 1.0),
        Bucket(120, 1, 9.0, 9.0, 9.0, 9.0),
    ]


def test_a_minute_without_samples_has_no_bucket():
    rolled = roll([(0.0, {"load": 1.0}), (180.0, {"load": 2.0})], MINUTE)
    assert [bucket.start for bucket in buckets(rolled, "load")] == [0, 180]


def test_nested_names_are_rolled_up_each():
    rolled = roll([(0.0, {"/": {"percent": 5.0}, "/home": {"percent": 7.0}})], MINUTE)
    assert rolled.keys() == {("/", "percent"), ("/home", "percent")}


@pytest.mark.parametrize("value", ["text", True, None, [1, 2], [{"pid": 1}]])
def test_what_is_no_number_is_not_rolled_up(value):
    assert roll([(0.0, {"odd": value})], MINUTE) == {}


def test_a_value_that_is_missing_now_and_then_leaves_the_others_as_they_are():
    samples = [(0.0, {"a": 1, "b": 5}), (10.0, {"a": None, "b": 6}), (20.0, {"a": 3})]
    rolled = roll(samples, MINUTE)
    assert (buckets(rolled, "a")[0].count, buckets(rolled, "b")[0].count) == (2, 2)


@given(SOME)
def test_the_mean_is_between_the_least_and_the_most(samples):
    for bucket in buckets(roll(samples, MINUTE), "value"):
        slack = 1e-9 * max(abs(bucket.low), abs(bucket.high))
        assert bucket.low - slack <= bucket.mean <= bucket.high + slack


@given(SOME)
def test_what_is_read_is_what_was_written(samples):
    rolled = roll(samples, MINUTE)
    assert decode(encode(rolled, MINUTE).data) == rolled
    assert decode(encode_quickly(rolled).data) == rolled


@given(SOME, st.integers(0, 60))
def test_two_parts_together_are_the_whole(samples, cut):
    whole, parts = roll(samples, MINUTE), merge(roll(samples[:cut], MINUTE), roll(samples[cut:], MINUTE))
    assert [(b.start, b.count, b.low, b.high, b.last) for b in buckets(parts, "value")] == [
        (b.start, b.count, b.low, b.high, b.last) for b in buckets(whole, "value")
    ]
    for ours, theirs in zip(buckets(parts, "value"), buckets(whole, "value"), strict=True):
        assert math.isclose(ours.mean, theirs.mean, rel_tol=1e-9, abs_tol=1e-9)


@given(DECIMAL_SAMPLES, st.permutations(range(4)))
def test_decimal_numbers_add_up_to_the_same_in_whatever_order_parts_come(samples, order):
    parts = [roll(samples[place::4], MINUTE) for place in range(4)]
    together = {}
    for place in order:
        together = merge(together, parts[place])
    assert [(b.start, b.count, b.mean) for b in buckets(together, "value")] == [
        (b.start, b.count, b.mean) for b in buckets(roll(samples, MINUTE), "value")
    ]


@given(DECIMAL_SAMPLES)
@pytest.mark.parametrize("seconds", [QUARTER, HOUR, DAY])
def test_a_longer_bucket_made_of_minutes_is_that_of_the_samples(seconds, samples):
    assert buckets(coarsen(roll(samples, MINUTE), seconds), "value") == buckets(roll(samples, seconds), "value")


def test_in_a_bucket_of_two_parts_the_newest_value_is_of_the_later():
    early, late = roll([(0.0, {"load": 1.0})], MINUTE), roll([(30.0, {"load": 2.0})], MINUTE)
    assert buckets(merge(early, late), "load")[0].last == 2.0


def test_a_part_that_comes_late_finds_its_place():
    late = merge(roll([(120.0, {"load": 3.0})], MINUTE), roll([(0.0, {"load": 1.0})], MINUTE))
    assert [bucket.start for bucket in buckets(late, "load")] == [0, 120]


def test_parts_of_different_scale_go_together():
    rolled = merge(roll([(0.0, {"load": 1})], MINUTE), roll([(30.0, {"load": 0.25})], MINUTE))
    assert buckets(rolled, "load") == [Bucket(0, 2, 0.25, 1.0, 0.625, 0.25)]


def test_only_some_buckets_can_be_had():
    rolled = roll([(0.0, {"load": 1.0}), (60.0, {"load": 2.0}), (120.0, {"load": 3.0})], MINUTE)
    assert [bucket.start for bucket in buckets(between(rolled, 60, 120), "load")] == [60]


def test_four_hours_of_a_metric_that_does_not_change_cost_next_to_nothing():
    assert len(encode(roll([(10.0 * place, {"load": 0.5}) for place in range(1440)], MINUTE), MINUTE).data) < 100


@pytest.mark.parametrize("written", [lambda rolled: encode(rolled, MINUTE), encode_quickly])
@given(samples=SOME, data=st.data())
def test_damaged_bytes_are_rollups_or_an_error(written, samples, data):
    whole = written(roll(samples, MINUTE)).data
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:place] + bytes((whole[place] ^ data.draw(st.integers(1, 255)),)) + whole[place + 1 :]
    try:
        decode(damaged)
    except ValueError:
        pass


@pytest.mark.parametrize("written", [lambda rolled: encode(rolled, MINUTE), encode_quickly])
@given(samples=SOME)
def test_cut_bytes_are_an_error(written, samples):
    with pytest.raises(ValueError):
        decode(written(roll(samples, MINUTE)).data[:-1])


@pytest.mark.parametrize("written", [lambda rolled: encode(rolled, MINUTE), encode_quickly])
@given(values=st.lists(NUMBERS, min_size=1, max_size=60))
def test_one_column_of_many_is_read_alone(written, values):
    samples = [(10.0 * place, {"a": 1, "b": value, "c": value}) for place, value in enumerate(values)]
    rolled = roll(samples, MINUTE)
    assert decode(written(rolled).data, lambda path: path == ("c",)) == {("c",): rolled["c",]}


def test_rollups_of_an_earlier_version_are_read():
    written = (
        "AXicM2BgYIg2M9CJNorViY6OVkouKI0vSC1KTs0rUYrVMTTQMQCJK+XkJ6YA+SBubCwDY8OmF9IMjAyMTEwMQIpBEkgoM0AIBgZBMFhoD2Iz"
        "ZP1wcAEDBgcY/+wZEOBwwCUPAMYEIeM="
    )
    starts, counts = [1750003200, 1750003260], [3, 1]
    assert decode(b64decode(written)) == {
        ("cpu_percent",): Column(10, starts, counts, [0, 25], [35, 25], [35, 25], [0, 25]),
        ("load",): Column(
            0,
            starts,
            counts,
            [1 / 30, 1e5],
            [61 / 30, 1e5],
            [math.fsum(0.1 / 3 + n for n in range(3)), 1e5],
            [61 / 30, 1e5],
        ),
    }


def test_a_value_that_is_an_object_now_and_then_is_rolled_up_where_it_is():
    rolled = roll([(0.0, {"a": {"b": 1}}), (10.0, {"a": None}), (20.0, {"a": {"b": 3}}), (30.0, {"a": 7})], MINUTE)
    assert buckets(rolled, "a", "b")[0] == Bucket(0, 2, 1, 3, 2, 3)
    assert buckets(rolled, "a")[0] == Bucket(0, 1, 7, 7, 7, 7)


@pytest.mark.parametrize("value", [10**400, -(10**400), 1.7e308])
def test_a_number_that_no_sum_can_hold_is_left_out_and_the_others_stay(value):
    rolled = roll([(0.0, {"odd": value, "load": 1.0}), (10.0, {"odd": 5, "load": 2.0})], MINUTE)
    assert decode(encode(rolled, MINUTE).data) == rolled
    assert [(bucket.count, bucket.mean) for bucket in rolled["load",].buckets()] == [(2, 1.5)]
    assert rolled["odd",].counts == [1]


EXTREMES = st.lists(
    st.sampled_from([-(1 << 62), -(1 << 43), -(1 << 39), -0.000001, 0, 0.25, 1 << 39, 1 << 43, 1 << 62])
)


@given(EXTREMES, EXTREMES)
def test_whatever_numbers_come_can_be_put_together_and_written(first, second):
    parts = [
        roll([(float(place), {"odd": value}) for place, value in enumerate(part)], MINUTE) for part in (first, second)
    ]
    whole = coarsen(merge(*parts), DAY)
    assert decode(encode(whole, DAY).data) == whole


def test_parts_go_together_by_plugin():
    parts = [{"cpu": roll([(0.0, {"load": 1.0})], MINUTE)}, {"cpu": roll([(60.0, {"load": 2.0})], MINUTE), "disk": {}}]
    together = rollups.merged(parts)
    assert (together.keys(), len(buckets(together["cpu"], "load"))) == ({"cpu", "disk"}, 2)


def test_days_of_history_keep_their_sums():
    values = defaultdict(list)
    for place in range(0, 86_400, 300):
        values["a"].append((float(place), {"rx": place / 10}))
    (day,) = buckets(coarsen(roll(values["a"], MINUTE), DAY), "rx")
    assert (day.count, day.low, day.high) == (288, 0.0, 8610.0)
