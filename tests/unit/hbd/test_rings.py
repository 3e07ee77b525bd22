from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbd import rings as rings_module
from hbd.model import Sample
from hbd.rings import Rings

HOST = 7
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
DATA = st.just({"a": 1.5, "b": "{"}) | st.dictionaries(st.sampled_from("abc") | st.text(max_size=3), VALUES, max_size=4)


class Model:
    """What a ring promises, said plainly."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.samples: list[Sample] = []

    def add(self, sample: Sample) -> bool:
        if len(self.samples) >= self.most and sample.time < self.samples[0].time:
            return False
        self.samples = sorted([*self.samples, sample], key=lambda kept: kept.time)  # keeps the order of equals
        self.resize(self.most)
        return True

    def resize(self, most: int) -> None:
        self.most = most
        self.samples = self.samples[-most:]


def spelt(samples: Iterable[Sample]) -> list[str]:
    """Samples with the kinds of values and the order of names visible."""
    return [repr(sample) for sample in samples]


def sample(time: float, value: Any = 1.0, plugin: str = "cpu") -> Sample:
    return Sample(plugin, time, {"x": value})


def filled(times: Iterable[float], most: int = 100) -> Rings:
    rings = Rings(most)
    for time in times:
        rings.add(HOST, sample(float(time)))
    return rings


def times_of(rings: Rings, limit: int = 10_000) -> list[float]:
    return [kept.time for kept in rings.newest(HOST, "cpu", limit)]


def assert_same(rings: Rings, model: Model) -> None:
    assert spelt(rings.newest(HOST, "cpu", 10_000)) == spelt(reversed(model.samples))
    assert rings.count(HOST, "cpu") == rings.total() == len(model.samples)
    if model.samples:
        assert rings.latest(HOST, "cpu") is model.samples[-1]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 70), st.lists(st.integers(0, 200), max_size=160), st.data())
def test_ring_is_the_last_samples_by_time(most: int, times: list[int], data: st.DataObject) -> None:
    rings, model = Rings(most), Model(most)
    shapes = data.draw(st.lists(DATA, min_size=1, max_size=4))
    for number, time in enumerate(times):
        added = Sample("cpu", float(time), {**shapes[number % len(shapes)], "number": number})
        assert rings.add(HOST, added) == model.add(added)
    assert_same(rings, model)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.just("run"), st.integers(0, 400), st.integers(1, 60))  # so many in time order from there
        | st.tuples(st.just("resize"), st.integers(1, 90), st.just(0)),
        max_size=12,
    )
)
def test_ring_is_the_last_samples_through_replays_and_resizes(steps: list[tuple[str, int, int]]) -> None:
    rings, model = Rings(50), Model(50)
    number = 0
    for step, at, count in steps:
        if step == "resize":
            rings.resize(at)
            model.resize(at)
        for time in range(at, at + count):
            added = sample(float(time), number)
            number += 1
            assert rings.add(HOST, added) == model.add(added)
        assert_same(rings, model)


@settings(max_examples=80, deadline=None)
@given(st.lists(DATA, max_size=45))
def test_any_data_come_back_exactly(many: list[dict[str, Any]]) -> None:
    rings = Rings()
    for time, data in enumerate(many):
        assert rings.add(HOST, Sample("cpu", float(time), data))
    assert [repr(kept.data) for kept in rings.newest(HOST, "cpu", 100)] == [repr(data) for data in reversed(many)]


def test_late_sample_lands_in_a_sealed_part() -> None:
    rings = filled(range(0, 200, 2))
    rings.resize(101)
    assert rings.add(HOST, sample(31.0))
    assert times_of(rings)[-18:-14] == [32.0, 31.0, 30.0, 28.0]


def test_samples_of_one_time_stay_in_order_of_arrival() -> None:
    rings = Rings()
    for number in range(50):
        rings.add(HOST, sample(5.0, number))
    assert [kept.data["x"] for kept in rings.newest(HOST, "cpu", 50)] == list(range(49, -1, -1))


def test_sample_older_than_all_in_a_full_ring_is_not_kept() -> None:
    rings = filled(range(100, 200))
    assert not rings.add(HOST, sample(99.0))
    assert rings.count(HOST, "cpu") == 100
    assert rings.refused == 0


def test_sample_older_than_the_kept_part_of_a_sealed_part_is_not_kept() -> None:
    rings = filled(range(110))
    assert not rings.add(HOST, sample(5.5))
    assert times_of(rings)[-1] == 10.0


def test_old_sample_is_kept_while_there_is_room() -> None:
    rings = filled(range(100, 150))
    assert rings.add(HOST, sample(1.0))
    assert times_of(rings)[-2:] == [100.0, 1.0]


def test_latest_is_the_very_sample_that_came() -> None:
    rings = filled(range(99))
    newest = sample(1000.0)
    rings.add(HOST, newest)
    rings.add(HOST, sample(999.0))
    assert rings.latest(HOST, "cpu") is newest


def test_newest_gives_no_more_than_asked() -> None:
    assert times_of(filled(range(90)), 3) == [89.0, 88.0, 87.0]


@pytest.mark.parametrize("limit", [0, -1])
def test_newest_of_no_samples_is_empty(limit: int) -> None:
    assert times_of(filled(range(90)), limit) == []


def test_unknown_host_or_plugin_has_nothing() -> None:
    rings = filled(range(3))
    for host, plugin in ((HOST, "disk"), (8, "cpu")):
        assert rings.latest(host, plugin) is None
        assert rings.newest(host, plugin, 5) == []
        assert rings.count(host, plugin) == 0
    assert rings.plugins(8) == []


def test_plugins_are_sorted() -> None:
    rings = Rings()
    for plugin in ("net", "cpu", "disk"):
        rings.add(HOST, sample(1.0, plugin=plugin))
    assert rings.plugins(HOST) == ["cpu", "disk", "net"]


def test_dropped_host_leaves_nothing() -> None:
    rings = filled(range(30))
    rings.add(8, sample(1.0))
    rings.drop(HOST)
    rings.drop(99)
    assert rings.plugins(HOST) == []
    assert rings.total() == 1


def test_shrinking_drops_the_oldest() -> None:
    rings = filled(range(100))
    rings.resize(33)
    assert times_of(rings) == [float(time) for time in range(99, 66, -1)]
    assert rings.total() == 33


def test_growing_keeps_more_from_then_on() -> None:
    rings = filled(range(10), most=5)
    rings.resize(8)
    for time in range(10, 20):
        rings.add(HOST, sample(float(time)))
    assert times_of(rings) == [float(time) for time in range(19, 11, -1)]


def test_one_plugin_too_many_takes_the_place_of_the_one_that_was_silent_for_longest() -> None:
    rings = Rings()
    for number in range(rings_module.MAX_PLUGINS):
        rings.add(HOST, sample(10.0 + number, plugin=f"p{number}"))
    rings.add(HOST, sample(1000.0, plugin="p0"))
    assert rings.add(HOST, sample(1001.0, plugin="new"))
    assert len(rings.plugins(HOST)) == rings_module.MAX_PLUGINS == rings.total() - 1
    assert {"p0", "new"} <= set(rings.plugins(HOST))
    assert "p1" not in rings.plugins(HOST)
    assert rings.refused == 1


def test_one_host_takes_no_more_memory_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings_module, "MAX_HOST_BYTES", 1 << 20)
    rings, chance = Rings(), random.Random(1)
    rings.add(HOST + 1, sample(1.0))
    for time in range(1, 121):
        for plugin in "abcd":
            rings.add(HOST, sample(float(time), chance.randbytes(8_000).hex(), plugin))
    assert sum(ring.memory_bytes() for ring in rings._hosts[HOST].values()) < (2 << 20)
    assert rings.refused > 0
    assert rings.total() == 1 + sum(rings.count(HOST, plugin) for plugin in "abcd")
    assert all(rings.latest(HOST, plugin).time == 120.0 for plugin in "abcd")
    assert rings.count(HOST + 1, "cpu") == 1


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param({str(number): 1 for number in range(rings_module.MAX_VALUES + 1)}, id="too many values"),
        pytest.param({"x": msgspec.json.decode(b"[" * 33 + b"]" * 33)}, id="deep list"),
        pytest.param(msgspec.json.decode(b'{"x":' * 33 + b"1" + b"}" * 33), id="deep object"),
        pytest.param({"x": object()}, id="not JSON"),
        pytest.param({"x": "\ud800"}, id="not text"),
    ],
)
def test_sample_beyond_the_limits_is_refused_and_counted(data: dict[str, Any], first: bool) -> None:
    rings = filled([] if first else [1.0])
    assert not rings.add(HOST, Sample("cpu", 2.0, data))
    assert rings.refused == 1
    assert rings.total() == (0 if first else 1)
    assert rings.plugins(HOST) == ([] if first else ["cpu"])


@pytest.mark.parametrize("time", [float("nan"), float("inf"), -float("inf")])
def test_sample_without_a_time_is_refused(time: float) -> None:
    rings = filled([1.0])
    assert not rings.add(HOST, sample(time))
    assert rings.refused == 1


def test_many_brackets_side_by_side_are_no_depth() -> None:
    rings = Rings()
    data = {"x": [[number] for number in range(200)], "y": {str(number): {"z": {}} for number in range(200)}}
    assert rings.add(HOST, Sample("cpu", 1.0, data))
    assert rings.newest(HOST, "cpu", 1)[0].data == data


def test_large_samples_come_back() -> None:
    rings = Rings()
    texts = [str(number) * 40_000 for number in range(10)]
    for time in (0, 5, 1, 6, 2, 7, 3, 8, 4, 9):
        assert rings.add(HOST, sample(float(time), texts[time]))
    assert [kept.data["x"] for kept in rings.newest(HOST, "cpu", 10)] == texts[::-1]


@pytest.mark.parametrize("nested", [False, True])
def test_memory_is_within_the_goal_and_estimated_to_a_quarter(nested: bool) -> None:
    gc.collect()
    tracemalloc.start()
    try:
        rings = Rings(100)
        for host in range(50):
            for time in range(110):
                values = {f"metric_{number}": (host * time * (number + 3)) % 1000 / 10 for number in range(12)}
                data = {"all": values, "none": {}} if nested else values
                rings.add(host, Sample("cpu", time + 0.25, msgspec.json.decode(msgspec.json.encode(data))))
        gc.collect()
        allocated = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert allocated / rings.total() < 120
    assert rings.memory_bytes() == pytest.approx(allocated, rel=0.25)


def test_memory_of_very_many_rings_is_estimated_from_some() -> None:
    few, many = Rings(), Rings()
    for host in range(6000):
        many.add(host, sample(1.0))
        if host < 60:
            few.add(host, sample(1.0))
    assert many.memory_bytes() == pytest.approx(100 * few.memory_bytes(), rel=0.25)
