import pytest

from hbc.plugins.settings import chooser, seconds, texts


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3.0), (0.5, 0.5), ("3", 3.0), ("90s", 90.0), ("5m", 300.0), ("1h", 3600.0), ("250ms", 0.25), (None, 7.0)],
)
def test_durations(value, expected):
    assert seconds({"x": value}, "x", 7.0, least=0.1, most=86400) == expected


@pytest.mark.parametrize("value", ["soon", "-5", "5 minutes", True, [], ""])
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(ValueError, match=r"x: .* is no duration"):
        seconds({"x": value}, "x", 7.0, least=0.1, most=86400)


@pytest.mark.parametrize("value", [0, "2d", 1e9])
def test_duration_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match="out of range"):
        seconds({"x": value}, "x", 7.0, least=0.1, most=86400)


def test_one_text_is_a_list_of_one():
    assert texts({"x": "a"}, "x", ()) == ("a",)


def test_what_is_left_out_by_default_can_be_included():
    assert not chooser({}, ["veth*"])("veth0")
    assert chooser({"include": "veth*"}, ["veth*"])("veth0")


def test_pattern_matches_the_whole_name():
    wanted = chooser({"include": ["eth?"]})

    assert wanted("eth0")
    assert not wanted("eth01")
