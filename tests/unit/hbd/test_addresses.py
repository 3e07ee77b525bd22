from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbd.addresses import Networks, client, key

PROXIES = Networks(["10.0.0.0/8", "192.0.2.7", "2001:db8:ffff::/48"])
NOBODY = Networks([])

NETWORKS = st.one_of(
    st.ip_addresses(v=4).flatmap(lambda at: st.integers(0, 32).map(lambda bits: f"{at}/{bits}")),
    st.ip_addresses(v=6).flatmap(lambda at: st.integers(0, 128).map(lambda bits: f"{at}/{bits}")),
).map(lambda text: str(ip_network(text, strict=False)))


# ------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize(
    "address", ["10.0.0.0", "10.255.255.255", "192.0.2.7", "2001:db8:ffff::", "2001:db8:ffff:1::9"]
)
def test_an_address_of_a_network_is_in_it(address):
    assert address in PROXIES


@pytest.mark.parametrize("address", ["11.0.0.0", "192.0.2.8", "2001:db8:fffe::1", "a00::", "::10.0.0.1"])
def test_an_address_of_no_network_is_in_none(address):
    assert address not in PROXIES


@pytest.mark.parametrize("text", ["", "localhost", "10.0.0", "010.0.0.1", "10.0.0.1 ", "10.0.0.1:80", "[::1]"])
def test_text_that_is_no_address_is_in_no_network(text):
    assert text not in PROXIES


def test_a_mapped_address_is_in_the_network_of_the_address_itself():
    assert "::ffff:10.1.2.3" in PROXIES


def test_a_mapped_network_is_the_network_itself():
    assert "10.1.2.3" in Networks(["::ffff:10.0.0.0/104"])


def test_an_address_with_a_zone_is_in_the_network_of_the_address():
    assert "fe80::1%eth0" in Networks(["fe80::/10"])


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0"])
def test_a_network_of_everybody_is_of_one_family(text):
    assert [address in Networks([text]) for address in ("203.0.113.9", "2001:db8::1")] == [
        text[0] == "0",
        text[0] == ":",
    ]


def test_text_that_is_no_network_is_refused():
    with pytest.raises(ValueError, match="host bits"):
        Networks(["10.0.0.1/8"])


@settings(deadline=None)
@given(st.lists(NETWORKS, max_size=6), st.ip_addresses().filter(lambda at: at.version == 4 or at.ipv4_mapped is None))
def test_an_address_is_in_the_networks_that_hold_it(texts, address):
    assert (str(address) in Networks(texts)) == any(address in ip_network(text) for text in texts)


@settings(deadline=None)
@given(NETWORKS, st.data())
def test_every_address_of_a_network_is_in_it(text, data):
    network = ip_network(text)
    number = data.draw(st.integers(int(network.network_address), int(network.broadcast_address)))
    address = ip_address(number) if network.version == 4 else type(network.network_address)(number)
    mapped = address.version == 6 and address.ipv4_mapped is not None
    assert str(address) in Networks([text]) or (mapped and network.prefixlen < 96)


# ------------------------------------------------------------------------------------------------- client


def test_the_client_is_the_peer():
    assert client("203.0.113.9", [], PROXIES) == "203.0.113.9"


def test_what_an_untrusted_peer_forwards_is_not_believed():
    assert client("203.0.113.9", ["198.51.100.1"], PROXIES) == "203.0.113.9"


def test_nobody_is_believed_when_nobody_is_trusted():
    assert client("10.0.0.1", ["198.51.100.1"], NOBODY) == "10.0.0.1"


def test_a_trusted_peer_names_the_client():
    assert client("10.0.0.1", ["198.51.100.1"], PROXIES) == "198.51.100.1"


def test_a_trusted_peer_that_names_nobody_is_the_client_itself():
    assert client("10.0.0.1", [], PROXIES) == "10.0.0.1"


def test_what_the_client_itself_put_into_the_header_is_not_believed():
    assert client("10.0.0.1", ["1.1.1.1, 10.0.0.9, 198.51.100.1"], PROXIES) == "198.51.100.1"


def test_a_chain_of_trusted_proxies_is_followed_to_the_client():
    assert client("10.0.0.1", ["1.1.1.1, 198.51.100.1, 192.0.2.7, 10.0.0.9"], PROXIES) == "198.51.100.1"


def test_several_headers_are_one_list():
    assert client("10.0.0.1", ["1.1.1.1", "198.51.100.1, 10.0.0.9"], PROXIES) == "198.51.100.1"


def test_a_chain_of_trusted_addresses_alone_leads_to_the_first():
    assert client("10.0.0.1", ["10.0.0.3, 10.0.0.2"], PROXIES) == "10.0.0.3"


@pytest.mark.parametrize(
    "rubbish", ["unknown", "", "_hidden", "1.2.3.4.5", "1.2.3.4:", "[::1", "::1]:80", "[1.2.3.4]x", "\ud83d"]
)
def test_an_entry_that_is_no_address_ends_the_walk(rubbish):
    assert client("10.0.0.1", [f"198.51.100.1, {rubbish}, 10.0.0.9"], PROXIES) == "10.0.0.9"


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("198.51.100.1:4711", "198.51.100.1"),
        ("  198.51.100.1\t", "198.51.100.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("[::ffff:198.51.100.1]:80", "198.51.100.1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_entry_is_read_however_a_proxy_writes_it(entry, address):
    assert client("10.0.0.1", [entry], PROXIES) == address


@pytest.mark.parametrize(("peer", "address"), [("::ffff:203.0.113.9", "203.0.113.9"), ("fe80::1%eth0", "fe80::1")])
def test_a_peer_is_written_in_one_way(peer, address):
    assert client(peer, [], PROXIES) == address


def test_a_trusted_peer_is_known_by_its_mapped_address():
    assert client("::ffff:10.0.0.1", ["198.51.100.1"], PROXIES) == "198.51.100.1"


def test_without_a_peer_there_is_no_address_whatever_is_forwarded():
    assert client(None, ["198.51.100.1"], PROXIES) == ""


@settings(deadline=None)
@given(st.text(), st.lists(st.text()))
def test_whatever_is_sent_there_is_an_answer(peer, forwarded):
    client(peer, forwarded, PROXIES)
    client("10.0.0.1", forwarded, PROXIES)


@settings(deadline=None)
@given(st.lists(st.text()), st.ip_addresses(v=4).map(str).filter(lambda at: at not in PROXIES))
def test_nothing_that_is_sent_changes_what_a_trusted_proxy_added(sent, added):
    assert client("10.0.0.1", [*sent, added], PROXIES) == added


# ------------------------------------------------------------------------------------------------- key


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_limits_are_kept_by_address_or_by_the_64_bits_of_a_site(address, expected):
    assert key(address) == expected
