"""SSH to a server within the test: whose key is believed, who is let in, and how much a machine may say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from hbd.remote import ssh
from hbd.remote.ssh import HostKeyRefused, SshFailed, Target, Trust
from hbd.remote.ssh_keys import names

NEW, ASK = Trust("", "", new=True), Trust("", "", new=False)


class Machine:
    """An SSH server that lets in ``me`` with one key. said: the commands that it was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.logins = 0
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.other_key = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
        self.port = 0

    async def start(self, *keys: asyncssh.SSHKey) -> Any:
        mine = asyncssh.generate_private_key("ssh-ed25519")
        file = self.folder / "id_ed25519"
        mine.write_private_key(file)
        file.chmod(0o600)
        allowed = asyncssh.import_authorized_keys(mine.export_public_key().decode())
        machine = self

        class Server(asyncssh.SSHServer):
            def begin_auth(self, username: str) -> bool:
                machine.logins += 1
                return True

        async def process(process: asyncssh.SSHServerProcess[bytes]) -> None:
            machine.said.append(process.command or "")
            match (process.command or "").split():
                case ["cat"]:
                    process.stdout.write(await process.stdin.read())
                    process.exit(0)
                case ["fail", code]:
                    process.stderr.write(b"no\n")
                    process.exit(int(code))
                case ["flood"]:
                    try:
                        while True:
                            process.stdout.write(b"x" * 65536)
                            await process.stdout.drain()
                    except (BrokenPipeError, ConnectionError, asyncssh.Error):
                        pass
                case ["hang"]:
                    await process.stdin.read()
                    await asyncio.sleep(60)
                case ["drop"]:
                    process.channel.get_connection().abort()

        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Server,
            server_host_keys=list(keys) or [self.host_key, self.other_key],
            authorized_client_keys=allowed,
            process_factory=process,
            encoding=None,
        )
        self.port = server.get_port()
        return server

    def target(self, user: str = "me", key: str = "id_ed25519") -> Target:
        return Target("127.0.0.1", self.port, user, self.folder / key)

    def line(self, key: asyncssh.SSHKey) -> str:
        return f"[127.0.0.1]:{self.port} {key.export_public_key().decode().strip()}"


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path)
    server = await made.start()
    yield made
    server.close()
    await server.wait_closed()


async def connected(machine: Machine, trust: Trust = NEW) -> ssh.Connection:
    return await ssh.connect(machine.target(), trust)


async def refusal(machine: Machine, trust: Trust) -> HostKeyRefused:
    with pytest.raises(HostKeyRefused) as refused:
        await connected(machine, trust)
    assert machine.logins == 0  # it was told nothing
    return refused.value


# ------------------------------------------------------------------------------------------------ whose key is believed


async def test_a_machine_that_was_never_seen_is_believed_where_that_is_wanted(machine: Machine) -> None:
    connection = await connected(machine, NEW)
    assert connection.fingerprint == machine.host_key.get_fingerprint()
    assert connection.line == machine.line(machine.host_key)
    await connection.close()


async def test_s57_a_machine_that_was_never_seen_is_shown_where_it_is_asked_about(machine: Machine) -> None:
    refused = await refusal(machine, ASK)
    assert (refused.code, refused.fingerprint) == ("unknown_host_key", machine.host_key.get_fingerprint())
    assert refused.fingerprint in str(refused)


async def test_s57_with_its_fingerprint_it_is_believed(machine: Machine) -> None:
    connection = await connected(machine, Trust("", machine.host_key.get_fingerprint(), new=False))
    assert connection.line == machine.line(machine.host_key)
    await connection.close()


async def test_s57_with_another_fingerprint_it_is_not_even_where_new_ones_are(machine: Machine) -> None:
    refused = await refusal(machine, Trust("", machine.other_key.get_fingerprint(), new=True))
    assert refused.code == "changed_host_key"


async def test_a_known_machine_needs_no_new_line(machine: Machine) -> None:
    connection = await connected(machine, Trust(machine.line(machine.host_key), "", new=False))
    assert connection.line == ""
    await connection.close()


async def test_a_machine_with_several_keys_shows_the_one_that_is_known(machine: Machine) -> None:
    connection = await connected(machine, Trust(machine.line(machine.other_key), "", new=False))
    assert connection.fingerprint == machine.other_key.get_fingerprint()
    await connection.close()


@pytest.mark.parametrize("new", [True, False])
async def test_s57_a_changed_key_is_a_hard_stop(machine: Machine, new: bool) -> None:
    known = machine.line(asyncssh.generate_private_key("ssh-ed25519"))
    refused = await refusal(machine, Trust(known, "", new=new))
    assert refused.code == "changed_host_key"


async def test_s57_a_changed_key_is_a_hard_stop_even_when_it_is_named(machine: Machine) -> None:
    known = machine.line(asyncssh.generate_private_key("ssh-ed25519"))
    refused = await refusal(machine, Trust(known, machine.host_key.get_fingerprint(), new=True))
    assert refused.code == "changed_host_key"


async def test_s57_a_key_of_another_kind_than_the_known_one_is_a_changed_one(machine: Machine) -> None:
    known = machine.line(asyncssh.generate_private_key("ecdsa-sha2-nistp521"))
    assert (await refusal(machine, Trust(known, "", new=True))).code == "changed_host_key"


async def test_a_known_key_is_not_believed_when_another_one_is_wanted(machine: Machine) -> None:
    trust = Trust(machine.line(machine.host_key), machine.other_key.get_fingerprint(), new=True)
    assert (await refusal(machine, trust)).code == "changed_host_key"


async def test_a_revoked_key_is_not_believed(machine: Machine) -> None:
    trust = Trust("@revoked " + machine.line(machine.host_key), machine.host_key.get_fingerprint(), new=True)
    await refusal(machine, trust)


async def test_keys_of_other_ports_are_of_other_machines(machine: Machine) -> None:
    another = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    connection = await connected(machine, Trust(f"127.0.0.1 {another}\n[127.0.0.1]:1 {another}", "", new=True))
    assert connection.line
    await connection.close()


# -------------------------------------------------------------------------------------------------------- who is let in


async def test_a_user_who_is_not_let_in_is_named_with_the_key(machine: Machine) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(machine.folder / "other")
    (machine.folder / "other").chmod(0o600)
    with pytest.raises(SshFailed, match="does not let in me with the key other"):
        await ssh.connect(machine.target(key="other"), NEW)


async def test_a_key_with_a_passphrase_is_refused_before_anything_else(machine: Machine) -> None:
    locked = machine.folder / "locked"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(locked, passphrase="x")
    locked.chmod(0o600)
    with pytest.raises(SshFailed, match="needs a passphrase"):
        await ssh.connect(machine.target(key="locked"), NEW)
    assert machine.logins == 0


async def test_a_key_that_others_may_read_is_refused(machine: Machine) -> None:
    (machine.folder / "id_ed25519").chmod(0o644)
    with pytest.raises(SshFailed, match="chmod 600"):
        await connected(machine)


async def test_a_file_that_is_no_key_is_refused(machine: Machine) -> None:
    (machine.folder / "notes").write_text("hello")
    (machine.folder / "notes").chmod(0o600)
    with pytest.raises(SshFailed, match="notes"):
        await ssh.connect(machine.target(key="notes"), NEW)


async def test_where_nobody_listens_it_says_so_with_the_port(machine: Machine) -> None:
    target = Target("127.0.0.1", 1, "me", machine.folder / "id_ed25519")
    with pytest.raises(SshFailed, match=r"127\.0\.0\.1, port 1: Connection refused"):
        await ssh.connect(target, NEW)


async def test_a_server_that_says_nothing_is_not_waited_for_long(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "CONNECT_SECONDS", 0.2)
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SshFailed):
            await ssh.connect(Target("127.0.0.1", port, "me", machine.folder / "id_ed25519"), NEW)
        gone.set()


# ------------------------------------------------------------------------------------------------------------- commands


async def test_a_command_gets_what_it_is_given_and_its_output_comes_back(machine: Machine) -> None:
    connection = await connected(machine)
    assert await connection.run("cat", "some text\n" * 5000, seconds=10) == (0, "some text\n" * 5000, "")
    await connection.close()


async def test_an_exit_code_comes_back_with_what_was_said(machine: Machine) -> None:
    connection = await connected(machine)
    assert await connection.run("fail 3", seconds=10) == (3, "", "no\n")
    await connection.close()


async def test_a_machine_that_says_too_much_is_cut_off(machine: Machine) -> None:
    connection = await connected(machine)
    with pytest.raises(SshFailed, match="says more than"):
        await connection.run("flood", seconds=10)
    await connection.close()


async def test_a_command_that_does_not_end_is_cut_off(machine: Machine) -> None:
    connection = await connected(machine)
    with pytest.raises(SshFailed, match=r"no end after 0\.2 s"):
        await connection.run("hang", seconds=0.2)
    await connection.close()


async def test_a_connection_that_breaks_says_so(machine: Machine) -> None:
    connection = await connected(machine)
    with pytest.raises(SshFailed, match="the connection broke"):
        await connection.run("drop", seconds=10)
    await connection.close()


# ----------------------------------------------------------------------------------------------------------------- keys


def test_only_private_keys_are_listed_and_the_usual_ones_first(tmp_path: Path) -> None:
    for name in ("backup", "id_rsa", "id_ed25519"):
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / name)
    (tmp_path / "id_rsa.pub").write_text("ssh-ed25519 AAAA")
    (tmp_path / "known_hosts").write_text("")
    (tmp_path / "folder").mkdir()
    assert names(tmp_path) == ["id_ed25519", "id_rsa", "backup"]


def test_a_folder_that_is_not_there_has_no_keys(tmp_path: Path) -> None:
    assert names(tmp_path / "none") == []


async def test_a_machine_that_hangs_is_left_at_once_when_that_is_wanted(machine: Machine) -> None:
    """It would not answer a farewell either."""
    connection = await connected(machine)
    running = asyncio.create_task(connection.run("hang", seconds=60))
    async with asyncio.timeout(30):
        while not machine.said:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert connection._connection.is_closed()
