from __future__ import annotations

import pytest
from msgspec import Struct

from hbd.access import EVERYBODY, STRANGER, Action, Identity, Role, may

ALICE = Identity("alice", Role.VIEWER)
BOB = Identity("bob", Role.VIEWER)
CAROL = Identity("carol", Role.VIEWER)
DAVE = Identity("dave", Role.VIEWER)
OPERATOR = Identity("olga", Role.OPERATOR)
ADMIN = Identity("root", Role.ADMIN)


class Host(Struct):
    owner: str | None = "alice"
    managers: tuple[str, ...] = ("bob",)
    monitors: tuple[str, ...] = ("carol",)


@pytest.mark.parametrize("action", list(Action))
def test_without_users_everybody_may_do_everything(action: Action) -> None:
    assert may(EVERYBODY, action).allowed
    assert may(EVERYBODY, action, Host()).allowed


@pytest.mark.parametrize("identity", [EVERYBODY, ADMIN])
def test_what_nobody_was_granted_is_denied(identity: Identity) -> None:
    assert not may(identity, None).allowed


@pytest.mark.parametrize("action", [action for action in Action if action is not Action.ENTER])
def test_a_stranger_is_told_to_log_in(action: Action) -> None:
    verdict = may(STRANGER, action, Host())
    assert (verdict.allowed, verdict.stranger) == (False, True)


def test_a_stranger_may_enter() -> None:
    assert may(STRANGER, Action.ENTER).allowed


@pytest.mark.parametrize(
    ("identity", "granted"),
    [
        (DAVE, set()),
        (CAROL, {Action.VIEW, Action.ACKNOWLEDGE}),
        (BOB, {Action.VIEW, Action.ACKNOWLEDGE, Action.MANAGE}),
        (OPERATOR, {Action.VIEW, Action.ACKNOWLEDGE, Action.MANAGE}),
        (ALICE, {Action.VIEW, Action.ACKNOWLEDGE, Action.MANAGE, Action.OWN}),
        (ADMIN, {Action.VIEW, Action.ACKNOWLEDGE, Action.MANAGE, Action.OWN, Action.ADMIN}),
    ],
)
def test_each_standing_includes_those_before_it(identity: Identity, granted: set[Action]) -> None:
    assert {action for action in Action if may(identity, action, Host()).allowed} == granted | {Action.ENTER}


def test_the_daemon_itself_is_seen_by_all_users_and_changed_by_admins() -> None:
    assert may(DAVE, Action.VIEW).allowed
    assert not may(OPERATOR, Action.MANAGE).allowed
    assert may(ADMIN, Action.MANAGE).allowed


def test_a_host_without_owner_belongs_to_nobody_by_accident() -> None:
    assert not may(Identity("", Role.VIEWER), Action.VIEW, Host(owner=None, managers=(), monitors=())).allowed


def test_a_denial_says_what_is_missing() -> None:
    assert may(CAROL, Action.MANAGE, Host()).reason == "You need to be manager of this host"
