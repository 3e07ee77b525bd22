from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
from channel_kit import guard, serving, tools

from hbd.channels.base import SendFailed
from hbd.channels.guard import flaw_of_url
from hbd.channels.http import request

NOT_PUBLIC = [
    "127.0.0.1",
    "127.9.9.9",
    "::1",
    "0.0.0.0",
    "::",
    "169.254.169.254",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "192.0.0.8",
    "224.0.0.1",
    "255.255.255.255",
    "fc00::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "::ffff:7f00:1",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2002:0a00:0001::1",
]


def looks_up(*addresses: str) -> Any:
    """A name server that has the same answer for everything."""

    def lookup(name: str, port: int) -> list[tuple[Any, ...]]:
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in one], socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    return lookup


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert guard(trusted=False).refusal(address, 80) == "only public addresses may be called"


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "2002:0808:0808::1", "::ffff:808:808"])
def test_a_public_address_is_not(address: str) -> None:
    assert guard(trusted=False).refusal(address, 443) == ""


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "fc00::1"])
def test_a_trusted_channel_may_call_private_addresses(address: str) -> None:
    assert guard().refusal(address, 80) == ""


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0"])
def test_nobody_may_call_this_daemon(address: str) -> None:
    assert guard(own_ports={50004}).refusal(address, 50004) == "hbd does not call itself"


@pytest.mark.parametrize("allowed", ["10.0.0.0/8", "10.1.2.3"])
def test_what_the_list_allows_may_be_called(allowed: str) -> None:
    assert guard(trusted=False, allowed=[allowed]).refusal("10.1.2.3", 80) == ""


async def test_a_name_that_the_list_allows_may_lead_anywhere() -> None:
    keeper = guard(trusted=False, allowed=["ntfy.lan"], lookup=looks_up("10.1.2.3"))
    assert [place["host"] for place in await keeper.addresses("NTFY.lan", 80)] == ["10.1.2.3"]


async def test_one_private_address_among_public_ones_is_enough_to_refuse_a_name() -> None:
    with pytest.raises(SendFailed, match="only public") as refused:
        await guard(trusted=False, lookup=looks_up("8.8.8.8", "127.0.0.1")).addresses("two.example.org", 80)
    assert refused.value.permanent


@pytest.mark.parametrize("odd", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1"])
async def test_another_way_to_write_loopback_is_refused(odd: str) -> None:
    assert await guard(trusted=False).objection(odd, 80) == "only public addresses may be called"


async def test_a_name_that_nobody_knows_is_no_reason_to_refuse_a_channel() -> None:
    def unknown(name: str, port: int) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    assert await guard(trusted=False, lookup=unknown).objection("later.example.org", 80) == ""


async def test_a_name_that_changes_its_meaning_is_looked_up_once() -> None:
    answers = iter([["127.0.0.1"], ["192.0.2.66"]])

    def flips(name: str, port: int) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = looks_up(*next(answers))(name, port)
        return found

    async with serving() as service:
        url = f"http://flips.example.org:{service.port}/"
        assert await request(tools(lookup=flips), url, b"{}") == "200"


async def test_an_endless_lookup_holds_no_thread_of_the_program() -> None:
    released = threading.Event()

    def hangs(name: str, port: int) -> list[tuple[Any, ...]]:
        released.wait()
        return []

    objection = await guard(trusted=False, lookup=hangs).objection("slow.example.org", 80)
    looking = [thread for thread in threading.enumerate() if thread.name.startswith("lookup")]
    released.set()
    assert objection == "" and all(thread.daemon for thread in looking)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://example.org/",
        "ftp://example.org/",
        "unix:///run/x.sock",
        "//example.org/",
        "example.org",
        "http://",
        "http://user@example.org/",
        "http://user:secret@example.org/",
        "http://example.org/\r\nHost: x",
        "http://example.org\\@127.0.0.1/",
        "http://example.org/ x",
        "http://example.org:99999/",
        "http://[::1/",
        "https://example.org/" + "x" * 2_000,
    ],
)
def test_a_url_that_is_no_plain_web_address_is_refused(url: str) -> None:
    assert flaw_of_url(url)


@pytest.mark.parametrize("url", ["http://ntfy.lan:8080/a?b=c", "https://example.org", "http://[2001:db8::1]:80/"])
def test_a_plain_web_address_is_taken(url: str) -> None:
    assert flaw_of_url(url) == ""
