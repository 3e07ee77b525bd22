"""Where agents find a daemon, and what they have to trust there."""

from __future__ import annotations

from pathlib import Path

import pytest
from certificates import Authority, self_signed

from hbd import tls
from hbd.config import Config
from hbd.errors import Conflict, InvalidInput
from hbd.remote.whereabouts import Whereabouts
from hbd.tls import Certificate, Files

EVERYWHERE = ["https://0.0.0.0:50004/", "https://[::]:50004/"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def served(authority: Authority, *, with_root: bool = False) -> Certificate:
    """A certificate by that authority, with or without the authority's own behind it."""
    chain, key = authority.issue("server")
    if with_root:
        chain.write_text(chain.read_text() + authority.file.read_text())
    return Certificate(tls.load(Files(chain, key)))


def whereabouts(config: Config | None = None, certificate: Certificate | None = None) -> Whereabouts:
    return Whereabouts(lambda: config or Config(), lambda: EVERYWHERE, certificate)


def test_by_the_network_it_is_the_address_that_the_machine_sees_and_our_port() -> None:
    assert whereabouts().from_network("192.0.2.9").url == "https://192.0.2.9:50004"


def test_an_address_of_ipv6_has_its_brackets() -> None:
    assert whereabouts().from_network("fe80::1%eth0").url == "https://[fe80::1]:50004"


def test_base_url_wins() -> None:
    places = whereabouts(Config(base_url="https://mon.example"))
    assert places.from_network("192.0.2.9").url == "https://mon.example"
    assert places.as_asked("http", "localhost:50004").url == "https://mon.example"


def test_without_it_it_is_where_somebody_has_just_asked() -> None:
    assert whereabouts().as_asked("https", "mon:50004").url == "https://mon:50004"


def test_who_listens_on_loopback_is_not_found_by_other_machines() -> None:
    places = Whereabouts(Config, lambda: ["http://127.0.0.1:50004/", "http://[::1]:50004/"])
    with pytest.raises(Conflict, match="hbd_host"):
        places.from_network("192.0.2.9")
    assert places.from_network("127.0.0.1").url == "http://127.0.0.1:50004"


def test_a_certificate_whose_authority_is_elsewhere_is_not_brought_along(authority: Authority) -> None:
    assert whereabouts(certificate=served(authority)).at("https://mon:50004").certificate is None


def test_the_root_behind_a_certificate_is_brought_along(authority: Authority) -> None:
    server = whereabouts(certificate=served(authority, with_root=True)).at("https://mon:50004")
    assert server.certificate == authority.file.read_text()
    assert not server.itself


def test_a_certificate_of_its_own_is_brought_along_itself(tmp_path: Path) -> None:
    certificate = Certificate(tls.load(Files(*self_signed(tmp_path))))
    server = whereabouts(certificate=certificate).at("https://mon:50004")
    assert (server.certificate, server.itself) == (certificate.pem(), True)


@pytest.mark.parametrize("url", ["https://mon.example", "https://mon:8443", "http://mon:50004"])
def test_behind_a_proxy_ours_is_not_brought_along(authority: Authority, url: str) -> None:
    assert whereabouts(certificate=served(authority, with_root=True)).at(url).certificate is None


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(InvalidInput):
        whereabouts().at("https://mon/$(id)")
