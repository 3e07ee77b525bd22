import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbd.bundle import Part, bundle, unbundle

HOW = ["quick", "small", "least"]
BYTES = st.binary(max_size=50) | st.builds(bytes.__mul__, st.binary(max_size=3), st.integers(0, 100))
PARTS = st.dictionaries(st.text(max_size=20), st.builds(Part, BYTES, BYTES), max_size=5)


@given(PARTS, st.sampled_from(HOW))
def test_what_is_taken_out_is_what_was_put_in(parts, how):
    assert dict(unbundle(bundle(parts, how))) == parts


def test_what_an_earlier_version_wrote_is_read():
    old = b"\x01\x02\x00\x03cpu\x03\x00\x00\x00abc\x07gr\xc3\xb6\xc3\x9fe\x00\x00\x00\x00"
    assert unbundle(old) == {"cpu": Part(b"", b"abc"), "größe": Part(b"", b"")}


@given(PARTS, st.integers(1, 5))
def test_a_bundle_that_is_cut_is_an_error(parts, cut):
    whole = bundle(parts, "small")
    with pytest.raises(ValueError, match="bundle"):
        unbundle(whole[: max(0, len(whole) - cut)])


def test_a_bundle_that_is_too_long_is_an_error():
    with pytest.raises(ValueError, match="too long"):
        unbundle(bundle({"cpu": Part(b"", b"x")}, "small") + b"y")


def test_a_bundle_of_another_version_is_an_error():
    with pytest.raises(ValueError, match="version 9"):
        unbundle(b"\x09" + bundle({}, "small")[1:])


def test_a_name_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="too long"):
        bundle({"x" * 65_536: Part(b"", b"")}, "small")


@pytest.mark.parametrize("how", HOW)
def test_heads_that_are_alike_are_kept_once(how):
    head = random.Random(1).randbytes(1000)
    assert len(bundle({str(number): Part(head, b"x") for number in range(10)}, how)) < 1500


@given(st.sampled_from(HOW), st.data())
def test_of_a_damaged_bundle_each_part_is_what_it_was_or_an_error(how, data):
    parts = {name: Part(b"head" * 30, f"{name} body".encode() * 30) for name in "abc"}
    whole = bundle(parts, how)
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:place] + bytes((whole[place] ^ data.draw(st.integers(1, 255)),)) + whole[place + 1 :]
    try:
        found = unbundle(damaged)
        for name in found.keys() & parts.keys():
            assert found[name] == parts[name]
    except ValueError:
        pass


def test_a_damaged_part_leaves_the_others_as_they_are():
    whole = bytearray(bundle({"a": Part(b"", b"first" * 50), "b": Part(b"", b"second" * 50)}, "least"))
    whole[-10] ^= 1
    found = unbundle(bytes(whole))
    assert found["a"].data == b"first" * 50
    with pytest.raises(ValueError, match="damaged"):
        found["b"]


def test_looking_for_a_name_unpacks_nothing():
    whole = bytearray(bundle({"a": Part(b"", b"first" * 50)}, "least"))
    whole[-10] ^= 1
    assert "a" in unbundle(bytes(whole))


@given(st.binary(max_size=100))
def test_any_bytes_are_a_bundle_or_an_error(noise):
    for data in (noise, b"\x01" + noise, b"\x02" + noise):
        try:
            dict(unbundle(data))
        except ValueError:
            pass


def test_a_part_that_claims_to_be_huge_is_an_error():
    whole = bytearray(bundle({"a": Part(b"", b"x")}, "small"))
    place = whole.index(b"a") + 1 + 2  # behind the name and the number of the head: how, length, unpacked length
    whole[place + 5 : place + 9] = b"\xff" * 4
    with pytest.raises(ValueError, match="long"):
        unbundle(bytes(whole))["a"]
