"""The policy as tables: who may do what, and everything else is denied."""

from __future__ import annotations

from itertools import product

import pytest
from msgspec import Struct
from msgspec.structs import replace

from hbd.access import (
    ALL_SEEING,
    EVERYBODY,
    NO_TOKENS,
    NO_USERS_YET,
    STRANGER,
    WITHOUT_USERS,
    Action,
    Identity,
    Role,
    Standing,
    may,
    sees_everything,
    standing,
)

ALICE = Identity("alice", Role.VIEWER)
BOB = Identity("bob", Role.VIEWER)
CAROL = Identity("carol", Role.VIEWER)
DAVE = Identity("dave", Role.VIEWER)
OPERATOR = Identity("olga", Role.OPERATOR)
ADMIN = Identity("root", Role.ADMIN)
USERS = [ALICE, BOB, CAROL, DAVE, OPERATOR, ADMIN]


class Host(Struct):
    name: str = "Web1"
    owner: str | None = "alice"
    managers: tuple[str, ...] = ("bob",)
    monitors: tuple[str, ...] = ("carol",)


OWN = {Action.ENTER, Action.SELF, Action.CREDENTIALS}
MONITOR = {Action.VIEW, Action.ACKNOWLEDGE}
MANAGER = MONITOR | {Action.MANAGE, Action.REMOTE}
OWNER = MANAGER | {Action.OWN}
EVERYTHING = set(Action)


def name_of(value: object) -> str | None:
    return (value.name or "nobody") if isinstance(value, Identity) else None


def granted(identity: Identity, host: Host | None, *, changes: bool = False) -> set[Action]:
    return {action for action in Action if may(identity, action, host, changes=changes).allowed}


# ---------------------------------------------------------------------------------------------------------- standing


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        (DAVE, Standing.NONE),
        (CAROL, Standing.MONITOR),
        (BOB, Standing.MANAGER),
        (OPERATOR, Standing.MANAGER),
        (ALICE, Standing.OWNER),
        (ADMIN, Standing.ADMIN),
    ],
    ids=name_of,
)
def test_standing_comes_from_the_role_and_from_the_host(identity: Identity, expected: Standing) -> None:
    assert standing(identity, Host()) is expected


def test_the_strongest_of_several_standings_counts() -> None:
    assert standing(CAROL, Host(owner="carol", managers=("carol",))) is Standing.OWNER
    assert standing(CAROL, Host(managers=("carol",))) is Standing.MANAGER


def test_an_operator_can_own_a_host() -> None:
    assert standing(OPERATOR, Host(owner="olga")) is Standing.OWNER


def test_a_host_without_owner_belongs_to_nobody_by_accident() -> None:
    assert standing(Identity("", Role.VIEWER), Host(owner=None, managers=(), monitors=())) is Standing.NONE


# ------------------------------------------------------------------------------------------------------- signed in


@pytest.mark.parametrize(
    ("identity", "on_a_host"),
    [
        (DAVE, set()),
        (CAROL, MONITOR),
        (BOB, MANAGER),
        (OPERATOR, MANAGER | {Action.INSPECT}),
        (ALICE, OWNER),
        (ADMIN, EVERYTHING),
    ],
    ids=name_of,
)
def test_each_standing_includes_those_before_it(identity: Identity, on_a_host: set[Action]) -> None:
    assert granted(identity, Host()) == on_a_host | OWN


@pytest.mark.parametrize(
    ("identity", "on_the_daemon"),
    [
        (DAVE, {Action.VIEW}),
        (ALICE, {Action.VIEW}),
        (OPERATOR, {Action.VIEW, Action.INSPECT}),
        (ADMIN, EVERYTHING),
    ],
    ids=name_of,
)
def test_the_daemon_itself_is_for_operators_to_see_and_admins_to_change(
    identity: Identity, on_the_daemon: set[Action]
) -> None:
    assert granted(identity, None) == on_the_daemon | OWN | {Action.CHANNELS}


@pytest.mark.parametrize(("identity", "host"), list(product(USERS, [None, Host()])), ids=name_of)
def test_a_person_may_change_what_it_may_see_to(identity: Identity, host: Host | None) -> None:
    assert granted(identity, host, changes=True) == granted(identity, host)


@pytest.mark.parametrize("identity", [EVERYBODY, STRANGER, *USERS], ids=name_of)
def test_what_nobody_was_granted_is_denied(identity: Identity) -> None:
    assert not may(identity, None).allowed


@pytest.mark.parametrize(
    ("identity", "action", "host", "reason"),
    [
        (CAROL, Action.MANAGE, Host(), "You need to be manager of this host"),
        (BOB, Action.OWN, Host(), "You need to be owner of this host"),
        (OPERATOR, Action.ADMIN, None, "Only an admin may do this"),
        (DAVE, Action.INSPECT, None, "Only an operator may do this"),
    ],
)
def test_a_denial_says_what_is_missing(identity: Identity, action: Action, host: Host | None, reason: str) -> None:
    assert may(identity, action, host).reason == reason


# --------------------------------------------------------------------------------------------- nobody and everybody


@pytest.mark.parametrize(("host", "changes"), list(product([None, Host()], [False, True])))
def test_without_users_everybody_may_do_all_but_make_users_and_act_on_hosts(host: Host | None, changes: bool) -> None:
    assert granted(EVERYBODY, host, changes=changes) == EVERYTHING - WITHOUT_USERS.keys()


def test_without_users_it_is_said_how_to_make_one() -> None:
    assert may(EVERYBODY, Action.ACCOUNTS).reason == NO_USERS_YET


@pytest.mark.parametrize("host", [None, Host()])
def test_a_stranger_may_only_enter(host: Host | None) -> None:
    assert granted(STRANGER, host) == {Action.ENTER}


@pytest.mark.parametrize("action", [action for action in Action if action is not Action.ENTER])
def test_a_stranger_is_told_to_log_in(action: Action) -> None:
    verdict = may(STRANGER, action, Host())
    assert (verdict.allowed, verdict.stranger) == (False, True)


def test_whoever_is_known_is_never_told_to_log_in() -> None:
    assert not any(may(DAVE, action, host).stranger for action, host in product(Action, [None, Host()]))


# ---------------------------------------------------------------------------------------------------------- tokens


def token(user: Identity, *, writes: bool = True, hosts: frozenset[str] | None = None) -> Identity:
    return replace(user, person=False, writes=writes, hosts=hosts)


@pytest.mark.parametrize(("user", "host", "changes"), list(product(USERS, [None, Host()], [False, True])), ids=name_of)
def test_a_token_may_what_its_user_may_but_for_accounts(user: Identity, host: Host | None, changes: bool) -> None:
    assert granted(token(user), host, changes=changes) == granted(user, host, changes=changes) - NO_TOKENS


@pytest.mark.parametrize(("user", "host"), list(product(USERS, [None, Host()])), ids=name_of)
def test_a_token_that_only_reads_changes_nothing(user: Identity, host: Host | None) -> None:
    assert granted(token(user, writes=False), host, changes=True) == {Action.ENTER}
    assert granted(token(user, writes=False), host) == granted(token(user), host)


@pytest.mark.parametrize("user", USERS, ids=name_of)
def test_a_token_for_a_host_may_what_its_user_may_there_and_nowhere_else(user: Identity) -> None:
    limited = token(user, hosts=frozenset({"web1"}))
    assert granted(limited, Host("WEB1")) == granted(token(user), Host("WEB1"))
    assert granted(limited, Host("web2")) == {Action.ENTER}


@pytest.mark.parametrize("user", USERS, ids=name_of)
def test_a_token_for_a_host_has_no_say_in_the_daemon(user: Identity) -> None:
    limited = token(user, hosts=frozenset({"web1"}))
    assert granted(limited, None) == {Action.ENTER, Action.VIEW, Action.SELF}
    assert granted(limited, None, changes=True) == {Action.ENTER, Action.VIEW}


@pytest.mark.parametrize(
    ("identity", "action", "host", "changes", "reason"),
    [
        (token(ADMIN), Action.CREDENTIALS, None, False, "A token may not do this; sign in with your password"),
        (token(ADMIN, writes=False), Action.MANAGE, Host(), True, "This token may only read"),
        (token(ADMIN, hosts=frozenset({"db1"})), Action.VIEW, Host(), False, "This token is not for this host"),
        (token(ADMIN, hosts=frozenset({"db1"})), Action.ADMIN, None, False, "This token is for some hosts only"),
    ],
)
def test_a_token_is_told_its_limit(
    identity: Identity, action: Action, host: Host | None, changes: bool, reason: str
) -> None:
    assert may(identity, action, host, changes=changes).reason == reason


# ------------------------------------------------------------------------------------------------------- held back


@pytest.mark.parametrize(("user", "host", "changes"), list(product(USERS, [None, Host()], [False, True])), ids=name_of)
def test_whoever_is_held_back_gets_to_the_own_account_alone(user: Identity, host: Host | None, changes: bool) -> None:
    assert granted(replace(user, held_back="Not yet"), host, changes=changes) == OWN


def test_whoever_is_held_back_is_told_why() -> None:
    assert may(replace(ADMIN, held_back="Not yet"), Action.VIEW).reason == "Not yet"


# ------------------------------------------------------------------------------------------------------------- seeing


@pytest.mark.parametrize(
    ("identity", "everything"),
    [
        (EVERYBODY, True),
        (ADMIN, True),
        (OPERATOR, True),
        (ALL_SEEING, True),
        (token(ADMIN, writes=False), True),
        (token(ADMIN, hosts=frozenset({"web1"})), False),
        (replace(ADMIN, held_back="Not yet"), False),
        (ALICE, False),
        (STRANGER, False),
    ],
)
def test_who_sees_every_host(identity: Identity, everything: bool) -> None:
    assert sees_everything(identity) is everything


@pytest.mark.parametrize("identity", [EVERYBODY, STRANGER, *USERS, token(ADMIN, hosts=frozenset({"x"}))], ids=name_of)
def test_whoever_sees_everything_may_view_a_host_where_it_is_nobody(identity: Identity) -> None:
    nobodys = Host(owner=None, managers=(), monitors=())
    assert sees_everything(identity) is may(identity, Action.VIEW, nobodys).allowed
