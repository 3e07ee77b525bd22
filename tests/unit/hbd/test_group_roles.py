"""The strongest role that a group gives."""

from collections.abc import Mapping

import pytest

from hbd.config.structs import RoleName
from hbd.group_roles import role_of

ROLES: Mapping[str, RoleName] = {"staff": "viewer", "ops": "operator", "chiefs": "admin"}


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["staff"], "viewer"),
        (["staff", "ops"], "operator"),
        (["chiefs", "ops", "staff"], "admin"),
        (["guests", "ops"], "operator"),
    ],
)
def test_the_strongest_role_counts(groups: list[str], role: RoleName) -> None:
    assert role_of(groups, ROLES, None) == role


def test_people_in_none_of_the_groups_have_no_role() -> None:
    assert role_of(["guests"], ROLES, None) is None


def test_people_in_none_of_the_groups_have_the_default_role() -> None:
    assert role_of([], ROLES, "viewer") == "viewer"


def test_a_default_role_does_not_strengthen_that_of_a_group() -> None:
    assert role_of(["staff"], ROLES, "admin") == "viewer"


@pytest.mark.parametrize("group", ["Chiefs", "chiefs ", "/chiefs", "chief"])
def test_a_group_counts_by_its_exact_name(group: str) -> None:
    assert role_of([group], ROLES, None) is None
