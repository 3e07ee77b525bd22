from __future__ import annotations

import pytest

from hbd.model import State
from hbd.web import schemas
from hbd.web.live_view import SERVER_ROWS, asked_by, live_view


def host(name: str, state: State = State.UP, cpu: float | None = None, tags: tuple[str, ...] = ()) -> schemas.Host:
    summary = schemas.Summary(cpu_percent=cpu)
    return schemas.Host(name=name, id=1, agent_id="", state=state, interval=10.0, tags=list(tags), summary=summary)


HOSTS = [host("web-10", cpu=5.0), host("web-9", State.DOWN, 90.0), host("db", tags=("prod",))]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["web-9", "db", "web-10"]),
        ({"sort": "host"}, ["db", "web-9", "web-10"]),
        ({"sort": "host", "order": "desc"}, ["web-10", "web-9", "db"]),
        ({"sort": "cpu"}, ["web-9", "web-10", "db"]),
        ({"sort": "cpu", "order": "asc"}, ["web-10", "web-9", "db"]),
        ({"sort": "nonsense", "order": "nonsense"}, ["web-9", "db", "web-10"]),
        ({"state": "down"}, ["web-9"]),
        ({"state": "UP,DOWN,nonsense"}, ["web-9", "db", "web-10"]),
        ({"q": "PROD"}, ["db"]),
        ({"q": "web 10"}, ["web-10"]),
        ({"q": "nobody"}, []),
    ],
)
def test_url_chooses_and_orders_hosts(query: dict[str, str], expected: list[str]) -> None:
    assert [row.name for row in live_view(HOSTS, query).rows] == expected


def test_chip_of_a_state_turns_it_on_and_off() -> None:
    on, off = (live_view(HOSTS, query).chips[2] for query in ({"q": "a b"}, {"q": "a b", "state": "DOWN"}))
    assert (on.hosts, on.chosen, on.href) == (1, False, "/live?q=a+b&state=DOWN")
    assert (off.chosen, off.href) == (True, "/live?q=a+b")


def test_heading_of_the_sorted_column_turns_the_order_around() -> None:
    heading = next(entry for entry in live_view(HOSTS, {"sort": "cpu"}).headings if entry.name == "cpu")
    assert (heading.order, heading.href) == ("descending", "/live?sort=cpu&order=asc")


def test_what_is_usual_is_left_out_of_the_url() -> None:
    assert asked_by({"sort": "cpu", "order": "desc", "view": "table", "state": "", "x": "y"}).url() == "/live?sort=cpu"


def test_server_draws_only_the_first_rows_and_counts_them_all() -> None:
    view = live_view([host(f"h{number}") for number in range(SERVER_ROWS + 5)], {})
    assert (len(view.rows), view.matching, view.total) == (SERVER_ROWS, SERVER_ROWS + 5, SERVER_ROWS + 5)
