"""Metrics that have no place in our words."""

from functools import partial

from hbd.receivers.rates import Rates
from hbd.scraping.exposition import parse
from hbd.scraping.others import LONGEST_KEY, Others, gather


def gathered(text: str, *, used: frozenset[str] = frozenset(), metrics: int = 100, room: int = 10_000) -> Others:
    found = parse(text)
    rates = partial(Rates().of, 0, at=0.0)
    return gather(found.series, used, found.cumulative, rates, most_metrics=metrics, most_bytes=room)


def test_what_has_no_labels_goes_by_name_and_the_rest_by_labels() -> None:
    found = gathered('up 1\ndepth{queue="in",shard="0"} 3\nage{queue="in",shard="0"} 4')
    assert found.data == {"up": 1.0, "queue=in,shard=0": {"depth": 3.0, "age": 4.0}}


def test_what_is_told_in_our_words_is_not_told_again() -> None:
    assert gathered("node_load1 1\nnode_arp_entries 2", used=frozenset(("node_load1",))).data == {
        "node_arp_entries": 2.0
    }


def test_empty_labels_say_nothing() -> None:
    assert gathered('a{b=""} 1\nc{b="",d="e"} 2').data == {"a": 1.0, "d=e": {"c": 2.0}}


def test_letters_that_cannot_be_seen_do_not_get_into_names() -> None:
    assert list(gathered(r'a{b="x\ny"} 1').data) == ["b=x�y"]


def test_what_only_grows_has_its_rate_beside_it() -> None:
    rates = Rates()
    for second, count in ((0, 10), (10, 60)):
        found = parse(f'# TYPE hits counter\nhits {count}\nhits{{path="/"}} {count}\nsize {count}')
        data = gather(
            found.series, (), found.cumulative, partial(rates.of, 0, at=second), most_metrics=100, most_bytes=10_000
        ).data
    assert data == {
        "hits": 60.0,
        "hits_per_second": 5.0,
        "size": 60.0,
        "path=/": {"hits": 60.0, "hits_per_second": 5.0},
    }


def test_what_is_too_much_is_left_out_and_counted() -> None:
    text = "\n".join(f"m{number} 1" for number in range(10))
    assert (len(gathered(text, metrics=4).data), gathered(text, metrics=4).left_out) == (4, 6)


def test_a_sample_stays_within_its_bytes() -> None:
    found = gathered("\n".join(f'm{{k="{number:050}"}} 1' for number in range(50)), room=1000)
    assert 0 < len(found.data) < 50
    assert len(found.data) + found.left_out == 50


def test_labels_that_are_too_long_cost_their_series() -> None:
    found = gathered(f'a{{b="{"x" * LONGEST_KEY}"}} 1\nc 2')
    assert (found.data, found.left_out) == ({"c": 2.0}, 1)
