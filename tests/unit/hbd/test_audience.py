"""Which views show which hosts, against the policy asked anew after every change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hbd.access import ALL_SEEING, EVERYBODY, Identity, Role
from hbd.audience import Audience
from hbd.hosts import Host, Hosts
from hbd.subscription import View

PEOPLE = ["ann", "bob", "cas"]
NAMES = ["h1", "h2", "h3", "h4"]
IDENTITIES = [
    EVERYBODY,
    ALL_SEEING,
    *(Identity(name, Role.VIEWER) for name in PEOPLE),
    Identity("ann", Role.VIEWER, hosts=frozenset({"h1"}), person=False),
    Identity("opa", Role.OPERATOR, hosts=frozenset({"h2", "h9"}), person=False),
    Identity("ann", Role.VIEWER, held_back="set up a second factor"),
]
views = st.builds(
    View, st.sampled_from(IDENTITIES), st.none() | st.frozensets(st.sampled_from([*NAMES, "h9"]), max_size=2)
)
groups = st.lists(st.sampled_from(PEOPLE), max_size=2, unique=True)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("hand"), st.sampled_from(NAMES), st.none() | st.sampled_from(PEOPLE), groups, groups),
        st.tuples(st.sampled_from(["add", "remove", "drop", "show"]), st.sampled_from(NAMES)),
        st.tuples(st.sampled_from(["enter", "leave"]), views),
        st.tuples(st.just("settle")),
    ),
    max_size=30,
)


def expected(hosts: Hosts, view: View) -> set[int]:
    return {host.id for host in hosts if view.sees(host)}


@given(steps)
def test_what_a_view_shows_and_loses_is_what_the_policy_says(steps: list[tuple[object, ...]]) -> None:
    hosts = Hosts()
    audience = Audience(hosts)
    hosts.on_people = audience.changed
    known = {name: Host(number, name, name) for number, name in enumerate(NAMES, start=1)}
    looking: dict[View, set[int]] = {}

    def settle() -> None:
        lost = audience.settle()
        for view, before in looking.items():
            now = expected(hosts, view)
            assert set(lost.get(view, ())) == before - now
            assert audience.ids(view) == now == {host.id for host in audience.hosts(view)}
            looking[view] = now

    for step in steps:
        match step:
            case ("hand", str(name), owner, managers, monitors):
                hosts.hand(known[name], owner, managers, monitors)  # type: ignore[arg-type]
            case ("add", str(name)):
                hosts.add(known[name])
            case ("remove", str(name)) if hosts.known(name):
                hosts.drop(known[name], False)
                hosts.remove(known[name])
            case ("drop" | "show", str(name)) if hosts.known(name):
                hosts.drop(known[name], step[0] == "drop")
            case ("enter", View() as view):
                settle()
                audience.enter(view)
                looking[view] = expected(hosts, view)
            case ("leave", View() as view):
                audience.leave(view)
                looking.pop(view, None)
            case ("settle",):
                settle()
    settle()


def test_what_nobody_looks_at_any_more_is_forgotten() -> None:
    hosts = Hosts()
    audience = Audience(hosts)
    host = Host(1, "web", "agent_1")
    hosts.add(host)
    hosts.hand(host, "ann", [], [])
    view = View(Identity("ann", Role.VIEWER))
    audience.enter(view)
    audience.leave(view)
    assert not (audience._shown or audience._watching or audience._of_person or audience._others)
