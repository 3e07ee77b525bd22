"""The message of remote write, against one that was taken apart by hand and against a reader of its own."""

import math
import struct
import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from hbd.exporters import names as names_of
from hbd.exporters.remote_write import Point, compressor, labels, points, stored, write_request
from hbd.model import Sample


def varint(data, at):
    number = shift = 0
    while True:
        number |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return number, at


def fields(data):
    """(number, content) of a protobuf message."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 2:
            length, at = varint(data, at)
            yield tag >> 3, data[at : at + length]
            at += length
        elif tag & 7 == 1:
            yield tag >> 3, struct.unpack_from("<d", data, at)[0]
            at += 8
        else:
            number, at = varint(data, at)
            yield tag >> 3, number - (1 << 64) if number >> 63 else number


def unpacked(message):
    """[({label: value}, [(milliseconds, value)])] of a WriteRequest, in its order."""
    found = []
    for _, series in fields(message):
        names, samples = {}, []
        for number, content in fields(series):
            inner = dict(fields(content))
            if number == 1:
                names[inner[1].decode()] = inner[2].decode()
            else:
                samples.append((inner[2], inner[1]))
        found.append((names, samples))
    return found


def inflated(data):
    """What a block of snappy's literals holds."""
    length, at = varint(data, 0)
    found = b""
    while at < len(data):
        assert data[at] == 61 << 2
        count = struct.unpack_from("<H", data, at + 1)[0] + 1
        found += data[at + 3 : at + 3 + count]
        at += 3 + count
    assert len(found) == length
    return found


def sent(*samples):
    return unpacked(write_request(points(samples)))


def test_the_message_is_what_was_put_together_by_hand():
    message = write_request([Point(300, labels("hbd_cpu_ratio", "web1", "/"), 0.5)])
    assert message == bytes.fromhex(
        "0a41"  # a series, 65 bytes
        "0a19 0a08 5f5f6e616d655f5f 120d 6862645f6370755f726174696f"  # label __name__, hbd_cpu_ratio
        "0a0c 0a04 686f7374 1204 77656231"  # label host, web1
        "0a08 0a03 6b6579 1201 2f"  # label key, /
        "120c 09 000000000000e03f 10 ac02"  # sample 0.5 at 300
    )


def test_a_metric_has_the_name_and_unit_of_the_field():
    assert sent(("web1", Sample("disk_monitor", 10.0, {"/": {"percent": 40}}))) == [
        ({"__name__": "hbd_disk_ratio", "host": "web1", "key": "/"}, [(10_000, 0.4)])
    ]


def test_what_is_about_the_whole_host_has_no_key():
    ((names, _),) = sent(("web1", Sample("cpu_monitor", 10.0, {"cpu_percent": 40})))
    assert names == {"__name__": "hbd_cpu_ratio", "host": "web1"}


def test_texts_lists_and_nothing_are_left_out():
    assert sent(("web1", Sample("os_info", 10.0, {"os": "Debian", "ids": [1], "gone": None, "up": True}))) == [
        ({"__name__": "hbd_os_info_up", "host": "web1"}, [(10_000, 1.0)])
    ]


def test_a_number_that_no_double_holds_is_left_out():
    assert sent(("web1", Sample("a", 1.0, {"b": 10**400, "c": -(10**400), "d": 2**64}))) == [
        ({"__name__": "hbd_a_d", "host": "web1"}, [(1000, 2.0**64)])
    ]


def test_samples_of_a_series_are_oldest_first():
    several = [("web1", Sample("a", time, {"b": time})) for time in (3.0, 1.0, 2.0)]
    assert sent(*several) == [({"__name__": "hbd_a_b", "host": "web1"}, [(1000, 1.0), (2000, 2.0), (3000, 3.0)])]


def test_a_series_has_one_value_a_millisecond():
    odd = Sample("a", 1.0, {"b-c": 1, "b_c": 2})
    assert sent(("web1", odd), ("web1", Sample("a", 1.0002, {"b_c": 3}))) == [
        ({"__name__": "hbd_a_b_c", "host": "web1"}, [(1000, 1.0)])
    ]


def test_the_same_metric_of_two_hosts_is_two_series():
    found = sent(*((host, Sample("a", 1.0, {"b": 1})) for host in ("web1", "web2")))
    assert [names["host"] for names, _ in found] == ["web1", "web2"]


def test_a_text_that_is_no_unicode_is_sent_as_well_as_it_can_be():
    ((names, _),) = unpacked(write_request([Point(0, labels("n", "h", "\udc80"), 1.0)]))
    assert names["key"] == "?"


@given(
    some.lists(
        some.tuples(
            some.sampled_from(("web1", "web2")),
            some.sampled_from(("cpu_monitor", "x")),
            some.floats(-1e9, 4e9),
            some.dictionaries(
                some.text(min_size=1, max_size=5), some.integers(-(1 << 60), 1 << 60) | some.floats(allow_nan=False)
            ),
        ),
        max_size=20,
    )
)
def test_whatever_is_sent_is_sorted_and_comes_once(reports):
    batch = points((host, Sample(plugin, time, data)) for host, plugin, time, data in reports)
    found = unpacked(write_request(batch))
    assert sum(len(samples) for _, samples in found) == len(batch)
    assert len({tuple(names.items()) for names, _ in found}) == len(found)
    for names, samples in found:
        assert list(names) == sorted(names)
        times = [time for time, _ in samples]
        assert times == sorted(set(times))
        assert not any(math.isnan(value) for _, value in samples)


def test_names_and_values_are_those_of_the_metrics_page():
    data = {"eth0": {"rx_total": 3, "errors": True, "deep": {"rx_mb": 1.5}}, "total": 7, "up": False, "text": "a"}
    found = sent(("web1", Sample("network_monitor", 10.0, data)))
    assert [(names["__name__"], names.get("key", ""), samples[0][1]) for names, samples in found] == [
        tuple(series) for _, series in names_of.series("network_monitor", data)
    ]


@given(some.binary(max_size=300))
def test_stored_bytes_come_back(data):
    assert inflated(stored(data)) == data


@pytest.mark.parametrize("length", [(1 << 16) - 1, 1 << 16, (1 << 16) + 1, 200_000])
def test_long_bodies_are_several_literals(length):
    data = bytes(range(251)) * (length // 251 + 1)
    assert inflated(stored(data[:length])) == data[:length]


def test_without_the_library_nothing_is_compressed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert compressor() is stored


def test_with_the_library_its_block_format_is_used(monkeypatch):
    library = module_from_spec(ModuleSpec("cramjam", None))
    library.snappy = SimpleNamespace(compress_raw=lambda data: bytearray(data[::-1]))
    monkeypatch.setitem(sys.modules, "cramjam", library)
    assert compressor()(b"abc") == b"cba"
