"""What a host says piece by piece."""

from hbd.receivers import pieces
from hbd.receivers.pieces import KEPT_SECONDS, Pieces, merge


def test_pieces_of_a_plugin_make_one_sample() -> None:
    known = Pieces()
    known.put(1, "cpu_monitor", "cpu", {"cpu_percent": 5.0}, 100.0)
    known.put(1, "cpu_monitor", "load", {"load_1min": 2.0}, 101.0)
    assert known.whole(1, "cpu_monitor", 101.0) == {"cpu_percent": 5.0, "load_1min": 2.0}


def test_keys_of_several_pieces_are_laid_together() -> None:
    known = Pieces()
    known.put(1, "disk_monitor", "fs", {"/": {"percent": 5.0}}, 100.0)
    known.put(1, "disk_monitor", "io", {"/": {"reads_per_second": 1.0}}, 100.0)
    assert known.whole(1, "disk_monitor", 100.0) == {"/": {"percent": 5.0, "reads_per_second": 1.0}}


def test_the_newest_word_counts() -> None:
    known = Pieces()
    known.put(1, "p", "a", {"x": 1}, 100.0)
    known.put(1, "p", "b", {"x": 2}, 110.0)
    known.put(1, "p", "a", {"y": 3}, 120.0)
    assert known.whole(1, "p", 120.0) == {"x": 2, "y": 3}


def test_what_is_older_than_what_is_known_is_not_taken() -> None:
    known = Pieces()
    known.put(1, "p", "a", {"x": 2}, 110.0)
    assert known.put(1, "p", "a", {"x": 1}, 100.0) is False
    assert known.whole(1, "p", 120.0) == {"x": 2}


def test_a_piece_that_comes_no_more_is_left_out_after_a_while() -> None:
    known = Pieces()
    known.put(1, "p", "a", {"x": 1}, 100.0)
    assert known.whole(1, "p", 100.0 + KEPT_SECONDS) == {"x": 1}
    assert known.whole(1, "p", 100.0 + KEPT_SECONDS + 1) == {}


def test_a_piece_that_comes_seldom_is_kept_for_longer() -> None:
    known = Pieces()
    known.put(1, "p", "a", {"x": 1}, 0.0)
    known.put(1, "p", "a", {"x": 1}, 600.0)
    assert known.whole(1, "p", 600.0 + 1800.0) == {"x": 1}


def test_hosts_have_nothing_to_do_with_each_other() -> None:
    known = Pieces()
    known.put(1, "p", "a", {"x": 1}, 0.0)
    assert known.whole(2, "p", 0.0) == {}
    known.forget(1)
    assert known.whole(1, "p", 0.0) == {}


def test_pieces_are_not_kept_without_end() -> None:
    known = Pieces()
    taken = [known.put(1, f"p{number % 7}", f"{number}", {"x": 1}, 0.0) for number in range(pieces.MOST_PIECES + 10)]
    assert taken.count(True) == pieces.MOST_PIECES
    assert known.put(1, "q", "later", {"x": 1}, KEPT_SECONDS + 1) is True


def test_a_sample_is_not_put_together_without_end() -> None:
    known = Pieces()
    for number in range(30):
        known.put(1, "p", f"{number}", {f"key{number}": {f"m{metric}": 1 for metric in range(100)}}, float(number))
    whole = known.whole(1, "p", 30.0)
    assert set(whole) == {f"key{number}" for number in range(10, 30)}


def test_what_was_handed_in_is_not_changed() -> None:
    known, first = Pieces(), {"/": {"a": 1}}
    known.put(1, "p", "a", first, 0.0)
    merge(known.whole(1, "p", 0.0), {"/": {"b": 2}})
    assert first == {"/": {"a": 1}}
