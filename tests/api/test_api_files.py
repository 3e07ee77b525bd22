"""Files of a host over HTTP, through what hbc does with them."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientPayloadError, FormData
from stream_agent import StreamAgent, policy, stream_agent
from world import Api, World

from hbc.streams import opener_of
from hbd.config import Config
from hbd.config.structs import HostConfig, Limits
from hbd.errors import StorageError
from hbd.web.upload_form import STORE

MULTIPART = "multipart/form-data; boundary=x"
FILES = "/api/agents/web1/files"
Headers = dict[str, str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "srv"
    folder.mkdir()
    return folder


@pytest.fixture
async def agent(world: World, api: Api, root: Path, tmp_path: Path) -> AsyncIterator[StreamAgent]:
    await world.user("ops", "operator")
    await world.configure(Config(limits=Limits(max_upload_bytes=3_000_000)))
    allowed = policy(files=[root], reading=[tmp_path / "reading"], upload_mb=2, download_mb=2)
    async with stream_agent(world, api, "web1", allowed) as agent:
        yield agent


@pytest.fixture
async def headers(world: World, agent: StreamAgent) -> Headers:
    return {"Authorization": f"Bearer {await world.session('ops')}"}


async def get(api: Api, path: Path | str, headers: Headers, **more: str) -> tuple[int, bytes, Any]:
    async with api.get(FILES, params={"path": str(path)}, headers=headers | more) as answer:
        return answer.status, await answer.read(), answer.headers


async def listed(api: Api, headers: Headers, path: Path | str = "") -> tuple[int, Any]:
    params = {"path": str(path)} if path else {}
    async with api.get(f"{FILES}/list", params=params, headers=headers) as answer:
        return answer.status, await answer.json()


def form(data: bytes | Any, **fields: object) -> FormData:
    """The fields in the order given, then the file."""
    made = FormData()
    for name, value in fields.items():
        if name != "filename":
            made.add_field(name, str(value))
    content = io.BytesIO(data) if isinstance(data, bytes) else data
    made.add_field("file", content, filename=str(fields.get("filename", "x.txt")), content_type="text/plain")
    return made


async def post(api: Api, headers: Headers, data: FormData) -> tuple[int, Any]:
    async with api.post(FILES, data=data, headers=headers) as answer:
        return answer.status, await answer.json()


async def audited(world: World, action: str) -> list[tuple[str, str, str, str]]:
    await world.security.audit.write()
    entries = await world.store.audit.recent(50, action=action)
    return [(entry.user, entry.object, entry.outcome, entry.detail) for entry in entries]


# ------------------------------------------------------------------------------------------------------------- download


async def test_a_file_comes_as_it_is(api: Api, headers: Headers, root: Path) -> None:
    content = os.urandom(1_000_000)
    (root / "a b.bin").write_bytes(content)
    status, body, answered = await get(api, root / "a b.bin", headers)
    assert (status, body) == (200, content)
    assert answered["Content-Type"] == "application/octet-stream"
    assert answered["Content-Disposition"] == "attachment; filename=\"a b.bin\"; filename*=UTF-8''a%20b.bin"
    assert answered["Content-Length"] == "1000000"


async def test_an_empty_file_comes_too(api: Api, headers: Headers, root: Path) -> None:
    (root / "a").touch()
    assert (await get(api, root / "a", headers))[:2] == (200, b"")


async def test_head_tells_the_size(api: Api, headers: Headers, root: Path) -> None:
    (root / "a").write_bytes(b"12345")
    async with api.head(FILES, params={"path": str(root / "a")}, headers=headers) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, "5")


@pytest.mark.parametrize(
    ("range_", "status", "body", "told"),
    [
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=2-3", 206, b"23", "bytes 2-3/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=3-2", 200, b"0123456789", None),
        ("bytes=1-2,4-5", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
async def test_a_part_of_a_file_can_be_asked_for(
    api: Api, headers: Headers, root: Path, range_: str, status: int, body: bytes, told: str | None
) -> None:
    (root / "a").write_bytes(b"0123456789")
    found, content, answered = await get(api, root / "a", headers, Range=range_)
    assert (found, content, answered.get("Content-Range")) == (status, body, told)


async def test_a_download_is_gone_on_with_only_when_the_file_is_the_same(
    api: Api, headers: Headers, root: Path
) -> None:
    (root / "a").write_bytes(b"0123456789")
    etag = (await get(api, root / "a", headers))[2]["ETag"]
    assert (await get(api, root / "a", headers, **{"Range": "bytes=5-", "If-Range": etag}))[:2] == (206, b"56789")
    assert (await get(api, root / "a", headers, **{"If-None-Match": etag}))[0] == 304
    (root / "a").write_bytes(b"another one")
    again = await get(api, root / "a", headers, **{"Range": "bytes=5-", "If-Range": etag})
    assert again[:2] == (200, b"another one")


@pytest.mark.parametrize(("path", "status"), [("{}/none", 404), ("/etc/passwd", 403), ("{}", 403), ("a", 403)])
async def test_what_cannot_be_given_is_told(api: Api, headers: Headers, root: Path, path: str, status: int) -> None:
    found, body, _ = await get(api, path.format(root), headers)
    assert found == status
    assert b'"error"' in body


async def test_a_file_that_is_larger_than_the_host_gives_out_is_413(api: Api, headers: Headers, root: Path) -> None:
    (root / "a").touch()
    os.truncate(root / "a", 1 << 40)
    assert (await get(api, root / "a", headers))[0] == 413


async def test_an_agent_that_is_not_connected_is_409(api: Api, headers: Headers, world: World) -> None:
    await world.enrol("web2")
    async with api.get("/api/agents/web2/files?path=/srv/a", headers=headers) as answer:
        assert (answer.status, await answer.json()) == (409, {"error": "agent_offline"})


async def test_a_download_is_written_down_before_it_begins_and_when_it_has_ended(
    api: Api, headers: Headers, root: Path, world: World
) -> None:
    (root / "a").write_bytes(b"12345")
    await get(api, root / "a", headers)
    assert await audited(world, "file.download") == [
        ("ops", "host web1", "done", f"{root}/a: 5 bytes"),
        ("ops", "host web1", "done", f"{root}/a"),
    ]


async def test_a_file_that_becomes_shorter_breaks_the_download(
    api: Api, headers: Headers, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a").write_bytes(b"x" * 2_000_000)
    pread = os.pread

    def shorter(fd: int, most: int, offset: int) -> bytes:
        return pread(fd, most, offset) if offset < 1_000_000 else b""

    monkeypatch.setattr(os, "pread", shorter)
    with pytest.raises(ClientPayloadError):
        await get(api, root / "a", headers)


# -------------------------------------------------------------------------------------------------------------- listing


async def test_without_a_path_the_allowed_folders_are_listed(api: Api, headers: Headers, root: Path) -> None:
    status, said = await listed(api, headers)
    assert status == 200
    assert (said["path"], {entry["name"] for entry in said["entries"]}) == (
        None,
        {str(root), str(root.parent / "reading")},
    )


async def test_a_folder_is_listed(api: Api, headers: Headers, root: Path) -> None:
    (root / "sub").mkdir()
    for number in range(500):
        (root / f"f{number:03}").write_bytes(b"123")
    status, said = await listed(api, headers, root)
    assert (status, said["writable"], said["truncated"], len(said["entries"])) == (200, True, False, 501)
    assert said["entries"][0]["name"] == "sub"
    assert said["entries"][1] | {"modified": 0, "mode": ""} == {
        "name": "f000",
        "type": "file",
        "size": 3,
        "modified": 0,
        "mode": "",
    }


async def test_a_folder_outside_is_not_listed(api: Api, headers: Headers) -> None:
    assert (await listed(api, headers, "/etc"))[0] == 403


# --------------------------------------------------------------------------------------------------------------- upload


@pytest.mark.parametrize("size", [0, 5, 1_900_000])
async def test_a_file_is_put_where_it_is_to_go(api: Api, headers: Headers, root: Path, size: int) -> None:
    content = os.urandom(size)
    status, said = await post(api, headers, form(content, dest=root / "a"))
    assert (status, said) == (200, {"path": f"{root}/a", "bytes": size, "size": size, "total": None, "done": True})
    assert (root / "a").read_bytes() == content


async def test_a_file_may_come_before_its_destination(api: Api, headers: Headers, root: Path) -> None:
    data = FormData()
    data.add_field("file", b"content", filename="x.txt")
    data.add_field("dest", str(root / "a"))
    assert (await post(api, headers, data))[0] == 200
    assert (root / "a").read_bytes() == b"content"


async def test_a_folder_takes_a_file_under_its_own_name(api: Api, headers: Headers, root: Path) -> None:
    status, said = await post(api, headers, form(b"content", dest=root, filename="own.txt"))
    assert (status, said["path"]) == (200, f"{root}/own.txt")


async def test_a_file_is_sent_in_parts(api: Api, headers: Headers, root: Path) -> None:
    where = {"dest": root / "a", "upload": "upload-1", "total": 10}
    assert (await post(api, headers, form(b"01234", **where)))[1]["done"] is False
    assert not (root / "a").exists()
    async with api.get(
        f"{FILES}/upload", params={"upload": "upload-1", "dest": str(root / "a")}, headers=headers
    ) as answer:
        assert await answer.json() == {"upload": "upload-1", "offset": 5}
    status, said = await post(api, headers, form(b"56789", **where, offset=5))
    assert (status, said["done"], (root / "a").read_bytes()) == (200, True, b"0123456789")


async def test_f49_an_upload_that_breaks_off_leaves_the_old_file_and_is_gone_on_with(
    api: Api, headers: Headers, root: Path, agent: StreamAgent
) -> None:
    (root / "a").write_bytes(b"old")
    content = os.urandom(1_000_000)

    async def broken() -> AsyncIterator[bytes]:
        yield content[:600_000]
        while not any(entry.stat().st_size > 100_000 for entry in root.iterdir()):
            await asyncio.sleep(0.01)
        raise RuntimeError("the line is cut")

    where = {"dest": root / "a", "upload": "upload-1", "total": len(content)}
    with pytest.raises(Exception, match=r"cut|Connection|disconnected"):
        await post(api, headers, form(broken(), **where))
    await agent.idle()
    assert (root / "a").read_bytes() == b"old"
    params = {"upload": "upload-1", "dest": str(root / "a")}
    async with api.get(f"{FILES}/upload", params=params, headers=headers) as answer:
        offset = (await answer.json())["offset"]
    assert 0 < offset <= 600_000
    assert (await post(api, headers, form(content[offset:], **where, offset=offset)))[1]["done"] is True
    assert (root / "a").read_bytes() == content


async def test_nobody_else_goes_on_with_an_upload(api: Api, headers: Headers, root: Path, world: World) -> None:
    where = {"dest": root / "a", "upload": "upload-1", "total": 10}
    await post(api, headers, form(b"01234", **where))
    await world.user("eve", "operator")
    other = {"Authorization": f"Bearer {await world.session('eve')}"}
    status, said = await post(api, other, form(b"56789", **where, offset=5))
    assert (status, said) == (409, {"error": "offset: 0 bytes are here"})


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"dest": "/etc/motd"}, 403),
        ({"dest": "{}/none/a"}, 404),
        ({"dest": "{}/../reading/a"}, 403),
        ({"dest": "{}/../../reading"}, 403),
        ({"dest": ""}, 400),
        ({"dest": "{}/a", "mode": "0777"}, 400),
        ({"dest": "{}/a", "offset": "5"}, 400),
        ({"dest": "{}/a", "upload": "../etc"}, 400),
        ({"dest": "{}/a", "upload": "upload-1", "offset": "-1"}, 400),
        ({"dest": "{}/a", "upload": "upload-1", "total": "2"}, 400),
        ({"dest": "{}/a", "upload": "upload-1", "total": "3000001"}, 413),
        ({"dest": "{}/a", "upload": "upload-1", "total": "2900000"}, 413),
    ],
)
async def test_an_upload_that_cannot_be_is_refused(
    api: Api, headers: Headers, root: Path, agent: StreamAgent, fields: dict[str, str], status: int
) -> None:
    found, said = await post(api, headers, form(b"12345", **{k: v.format(root) for k, v in fields.items()}))
    assert (found, set(said)) == (status, {"error"})
    await agent.idle()
    assert not (root / "a").exists()


@pytest.mark.parametrize(("size", "first"), [(2_500_000, "host"), (3_100_000, "daemon")])
async def test_an_upload_that_is_too_large_leaves_nothing(
    api: Api, headers: Headers, root: Path, agent: StreamAgent, size: int, first: str
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(size // 100_000):
            yield bytes(100_000)

    status, said = await post(api, headers, form(chunks(), dest=root / "a"))
    assert status == 413, (first, said)
    await agent.idle()
    assert list(root.iterdir()) == []


def without_end() -> FormData:
    """A file before its destination, and the rest of it never comes."""

    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(100_000)
        await asyncio.Event().wait()

    made = FormData()
    made.add_field("file", chunks(), filename="x")
    made.add_field("dest", "/srv/a")
    return made


async def test_nothing_is_read_for_an_agent_that_is_not_connected(api: Api, headers: Headers, world: World) -> None:
    await world.enrol("web2")
    async with api.post("/api/agents/web2/files", data=without_end(), headers=headers) as answer:
        assert (answer.status, await answer.json()) == (409, {"error": "agent_offline"})


async def test_uploads_that_name_their_destination_last_are_streams_of_their_user(
    api: Api, headers: Headers, world: World
) -> None:
    await world.configure(Config(limits=Limits(max_streams_per_user=1)))
    with world.streams.place("ops"):
        status, said = await post(api, headers, without_end())
    assert (status, said) == (429, {"error": "You have 1 streams open; close one first"})


async def test_files_that_wait_for_their_destination_have_a_limit_together(
    api: Api, headers: Headers, world: World, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.configure(Config(limits=Limits(max_upload_bytes=100_000)))
    waiting = [asyncio.create_task(post(api, headers, without_end())) for _ in range(2)]
    store = api.server.app[STORE]
    async with asyncio.timeout(30):
        while sum(one.size for one in store._waiting) <= 100_000:
            await asyncio.sleep(0.01)
    monkeypatch.setattr("hbd.web.upload_form.MOST_STORED", 1)
    late = FormData()
    late.add_field("file", b"1", filename="x")
    late.add_field("dest", str(root / "a"))
    status, said = await post(api, headers, late)
    assert (status, said) == (429, {"error": "Too many files that name their destination last are coming in"})
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"{}", "application/json", 415),
        (b"nonsense", MULTIPART, 400),
        (b"nonsense", "multipart/form-data", 400),
        (b'--x\r\nContent-Disposition: form-data; name="dest"\r\n\r\na\r\n--x--\r\n', MULTIPART, 400),
        (b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n1', MULTIPART, 400),
    ],
)  # fmt: skip
async def test_a_form_that_is_none_is_refused(
    api: Api, headers: Headers, root: Path, body: bytes, media: str, status: int
) -> None:
    async with api.post(FILES, data=body, headers=headers | {"Content-Type": media}) as answer:
        assert (answer.status, set(await answer.json())) == (status, {"error"})


async def test_an_upload_without_an_end_is_no_upload(
    api: Api, headers: Headers, root: Path, agent: StreamAgent
) -> None:
    body = (
        f'--x\r\nContent-Disposition: form-data; name="dest"\r\n\r\n{root}/a\r\n'
        '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf of it'
    )
    media = {"Content-Type": MULTIPART}
    async with api.post(FILES, data=body.encode(), headers=headers | media) as answer:
        assert answer.status == 400
    await agent.idle()
    assert list(root.iterdir()) == []


async def test_an_upload_is_written_down_before_it_begins_and_when_it_has_ended(
    api: Api, headers: Headers, root: Path, world: World
) -> None:
    await post(api, headers, form(b"12345", dest=root / "a"))
    assert await audited(world, "file.upload") == [
        ("ops", "host web1", "done", f"{root}/a (x.txt): 5 bytes"),
        ("ops", "host web1", "done", f"{root}/a (x.txt)"),
    ]


async def test_what_the_host_refuses_is_written_down_as_refused(
    api: Api, headers: Headers, root: Path, world: World
) -> None:
    await get(api, "/etc/passwd", headers)
    ended, begun = await audited(world, "file.download")
    assert begun == ("ops", "host web1", "done", "/etc/passwd")
    assert ended[2] == "refused"
    assert ended[3].startswith("/etc/passwd: disabled by local policy")


async def test_what_breaks_off_is_written_down_as_failed_with_how_far_it_came(
    api: Api, headers: Headers, root: Path, world: World
) -> None:
    await post(api, headers, form(b"12345", dest=root / "a", upload="upload-1", total=2))
    ended, _ = await audited(world, "file.upload")
    assert ended[2:] == ("failed", f"{root}/a (x.txt): 0 bytes, total: the file has more bytes than that")


async def test_where_nothing_can_be_written_down_nothing_is_done(
    api: Api, headers: Headers, root: Path, world: World, agent: StreamAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(entries: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(world.store.audit, "add", full)
    assert (await post(api, headers, form(b"12345", dest=root / "a")))[0] == 503
    assert agent.asked == []
    monkeypatch.undo()


async def test_whoever_loses_the_right_loses_the_download(
    api: Api, headers: Headers, root: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbd.web.files.RIGHT_SECONDS", 0.0)
    (root / "a").write_bytes(bytes(1_900_000))
    await world.user("bob", "viewer")
    await world.configure(Config(hosts={"web1": HostConfig(managers=("bob",))}))
    bob = {"Authorization": f"Bearer {await world.session('bob')}"}
    pread = os.pread

    def slowly(fd: int, most: int, offset: int) -> bytes:
        if offset == 0:
            asyncio.run_coroutine_threadsafe(world.configure(Config()), loop).result(10)
        return pread(fd, min(most, 10_000), offset)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(os, "pread", slowly)
    with pytest.raises(ClientPayloadError):
        await get(api, root / "a", bob)


async def test_whoever_loses_the_right_loses_the_download_also_while_they_do_not_read(
    api: Api, headers: Headers, root: Path, world: World, agent: StreamAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbd.web.files.RIGHT_SECONDS", 0.01)
    (root / "a").write_bytes(bytes(40_000_000))
    agent.streams._opener = opener_of(policy(files=[root], download_mb=100))
    await world.user("bob", "viewer")
    await world.configure(Config(hosts={"web1": HostConfig(managers=("bob",))}))
    url = api.make_url(FILES)
    reader, writer = await asyncio.open_connection(url.host, url.port, limit=1024)
    token = await world.session("bob")
    asked = f"GET {FILES}?path={root}/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(asked.encode())
    assert b" 200 " in await reader.readline()
    await world.configure(Config())
    await agent.idle()
    ended, _ = await audited(world, "file.download")
    assert ended[2] == "refused"
    with pytest.raises(ConnectionResetError):
        while await reader.read(1 << 20):
            pass
    writer.close()


async def test_an_agent_that_never_connects_is_given_up(
    api: Api, headers: Headers, root: Path, agent: StreamAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbd.remote.streams.ANSWER_SECONDS", 0.05)
    agent.deaf = True
    assert (await get(api, root / "a", headers))[0] == 502


async def test_the_next_part_may_follow_at_once(api: Api, headers: Headers, root: Path) -> None:
    where = {"dest": root / "a", "upload": "upload-1", "total": 50}
    for offset in range(50):
        status, said = await post(api, headers, form(b"x", **where, offset=offset))
        assert (status, said["done"]) == (200, offset == 49)
    assert (root / "a").read_bytes() == b"x" * 50
