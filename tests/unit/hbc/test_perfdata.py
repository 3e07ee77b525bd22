import pytest

from hbc.perfdata import CRITICAL, MOST_VALUES, metrics, read


@pytest.mark.parametrize(
    ("output", "text", "values"),
    [
        ("OK", "OK", {}),
        ("OK - all is well | a=1", "OK - all is well", {"a": 1.0}),
        (
            "OK - load average: 0.14, 0.25, 0.20|load1=0.140;5.000;10.000;0; load5=0.250;4.000;8.000;0;",
            "OK - load average: 0.14, 0.25, 0.20",
            {"load1": 0.14, "load5": 0.25},
        ),
        ("DISK OK | /=2643MB;5948;5958;0;5968 /boot=68MB;88;93;0;98", "DISK OK", {"/": 2643.0, "/boot": 68.0}),
        ("t|'C:\\ used'=1.5e3B 'it''s'=2% time=0.5s", "t", {"C:\\ used": 1500.0, "it's": 2.0, "time": 0.5}),
        ("t | a=1\nlong text\nmore | b=2\nc=3 d=4", "t", {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}),
        ("t | a=U b=1 c=~ d= e", "t", {"b": 1.0}),
        ("t | temp=21,5C b=-.5", "t", {"b": -0.5}),
        ("t | 'unclosed=1 b=2", "t", {"b": 2.0}),
        ("t | =1 ==2 b=2", "t", {"b": 2.0}),
        ("t | a=1e999 b=2", "t", {"b": 2.0}),
        ("| a=1", "", {"a": 1.0}),
        ("", "", {}),
    ],
)
def test_output_of_a_check_is_read(output, text, values):
    printed = read(output)

    assert (printed.text, printed.values) == (text, values)


def test_counters_are_known_by_their_unit():
    assert read("t | a=5c b=5").counters == {"a"}


def test_values_without_end_are_cut():
    assert len(read("t | " + " ".join(f"v{n}=1" for n in range(MOST_VALUES * 2))).values) == MOST_VALUES


@pytest.mark.parametrize("data", ["'" * 20_000, "'a" * 10_000, "=" * 20_000, "a='" * 7_000, " " * 20_000])
def test_performance_data_made_to_take_long_are_read_like_any(data):
    assert read(f"t | {data}").values == {}


def test_labels_do_not_hide_the_state():
    found = metrics(CRITICAL, read("bad | state=0 output=1 seconds=2 x=3"))

    assert found == {"state": 2, "output": "bad", "state_": 0.0, "output_": 1.0, "seconds_": 2.0, "x": 3.0}
