"""What is done on a host from here, in the audit log, whatever is asked for."""

from __future__ import annotations

import pytest
from world import Api, World

WEB = "/api/agents/web-1"


async def noted(api: Api, world: World, path: str) -> list[str]:
    """The details of what is written down about a download, the newest first."""
    await world.enrol("web-1")
    await world.user("ops", "operator")
    headers = {"X-Auth-Token": await world.session("ops")}
    async with api.get(f"{WEB}/files", params={"path": path}, headers=headers) as answer:
        assert answer.status == 409
    await world.security.audit.write()
    return [entry.detail for entry in await world.store.audit.recent(2)]


@pytest.mark.parametrize(
    "path",
    ["/./." * 900 + "/etc/shadow", "/" * 3000 + "etc/shadow", "/etc/././/./shadow"],
)
async def test_s54_slashes_and_dots_push_no_path_out_of_the_audit_log(api: Api, world: World, path: str) -> None:
    ended, begun = await noted(api, world, path)
    assert begun == "/etc/shadow"
    assert ended.startswith("/etc/shadow: ")


async def test_s54_the_longest_path_is_in_the_audit_log_whole(api: Api, world: World) -> None:
    path = "/srv" + "/folder" * 580
    ended, begun = await noted(api, world, path)
    assert begun == path
    assert ended.startswith(f"{path}: ")


async def test_s54_a_name_that_begins_with_a_dot_stays_as_it_is(api: Api, world: World) -> None:
    _, begun = await noted(api, world, "/home/.ssh/..x/id.")
    assert begun == "/home/.ssh/..x/id."
