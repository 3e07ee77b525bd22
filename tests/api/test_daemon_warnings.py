"""What a daemon says of its users at the start, at a reload and on its status page."""

import pytest

ADMIN = "users: {root: {role: admin}}\n"


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("default_owner: alice\n", "default_owner: there is no user alice"),
        ("hosts: {web1: {owner: alice}}\n", "hosts.web1.owner: there is no user alice"),
        ("hosts: {web1: {managers: [root, bob]}}\n", "hosts.web1.managers: there is no user bob"),
        ("hosts: {web1: {monitors: [carol]}}\n", "hosts.web1.monitors: there is no user carol"),
        (
            "hosts: {web1: {owner: bob}, web2: {owner: bob}, web3: {monitors: [bob]}}\n",
            "hosts.web1.owner: there is no user bob (and 2 more of the kind)",
        ),
    ],
)
async def test_a_name_in_the_config_that_no_user_has_is_warned_about(house, caplog, text, warning):
    daemon = await house.start(ADMIN + text)
    assert daemon.status().warnings == [warning]
    assert warning in caplog.messages


async def test_names_that_users_have_in_another_case_are_no_matter(house):
    daemon = await house.start(ADMIN + "hosts: {web1: {owner: Root, managers: [ROOT]}}\n")
    assert daemon.status().warnings == []


async def test_without_users_no_name_is_warned_about(house):
    daemon = await house.start("hosts: {web1: {owner: alice}}\n")
    assert daemon.status().warnings == []


async def test_a_crowd_of_unknown_names_is_cut_short(house):
    names = ", ".join(f"user{number}" for number in range(50))
    daemon = await house.start(ADMIN + f"hosts: {{web1: {{monitors: [{names}]}}}}\n")
    warnings = daemon.status().warnings
    assert (len(warnings), warnings[-1]) == (21, "50 names in hosts have no user")


async def test_users_without_an_admin_are_warned_about(house, caplog):
    daemon = await house.start("users: {alice: {role: operator}}\n")
    assert daemon.status().warnings == ["users: nobody is admin; make somebody one: hbd user role NAME admin"]
    assert daemon.status().warnings[0] in caplog.messages


async def test_a_reload_warns_of_names_that_have_no_user(house, capsys):
    daemon = await house.start(ADMIN)
    assert daemon.status().warnings == []
    house.write(ADMIN + "default_owner: alice\n")
    assert (await daemon.reload()).ok
    assert daemon.status().warnings == ["default_owner: there is no user alice"]
    assert "default_owner: there is no user alice" in capsys.readouterr().err
