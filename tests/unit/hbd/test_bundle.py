import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbd.bundle import bundle, unbundle

PARTS = st.dictionaries(st.text(max_size=20), st.binary(max_size=50), max_size=5)


@given(PARTS)
def test_what_is_taken_out_is_what_was_put_in(parts):
    assert unbundle(bundle(parts)) == parts


@given(PARTS, st.integers(1, 5))
def test_a_bundle_that_is_cut_is_an_error(parts, cut):
    whole = bundle(parts)
    with pytest.raises(ValueError, match="bundle"):
        unbundle(whole[: max(0, len(whole) - cut)])


def test_a_bundle_that_is_too_long_is_an_error():
    with pytest.raises(ValueError, match="too long"):
        unbundle(bundle({"cpu": b"x"}) + b"y")


def test_a_bundle_of_another_version_is_an_error():
    with pytest.raises(ValueError, match="version 9"):
        unbundle(b"\x09" + bundle({})[1:])


def test_a_name_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="too long"):
        bundle({"x" * 256: b""})
