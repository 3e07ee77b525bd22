"""Lines that point agents at this daemon."""

from __future__ import annotations

from hbd.web.pointing import KEY, ways

ORIGIN = "https://hbd.test"


def test_every_way_names_the_daemon_and_where_the_key_goes() -> None:
    found = ways(ORIGIN, 7, "agent_0123456789ab")
    assert all(ORIGIN in way.text and KEY in way.text for way in found)


def test_agents_that_name_their_host_are_told_its_number_or_id() -> None:
    texts = {way.title: way.text for way in ways(ORIGIN, 7, "agent_0123456789ab")}
    assert "HitFlow-Agent-Server: 7" in texts["An agent of HitFlow"]
    assert "/api/agents/agent_0123456789ab/report" in texts["An agent of NOBA"]
