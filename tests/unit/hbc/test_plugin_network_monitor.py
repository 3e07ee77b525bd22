import pytest

from hbc.plugins.base import Machine
from hbc.plugins.network_monitor import NetworkMonitor

HEAD = "Inter-|   Receive |  Transmit\n face |bytes    packets errs ...\n"
SOCKSTAT = "sockets: used 17\nTCP: inuse 5 orphan 0 tw 3 alloc 1 mem 138\nUDP: inuse 2 mem 0\n"
SNMP = "Tcp: RtoAlgorithm CurrEstab RetransSegs\nTcp: 1 4 {}\n"


def row(name, rx=0, tx=0, errors=0):
    return f"{name:>6}: {rx} 10 {errors} 0 0 0 0 0 {tx} 10 0 0 0 0 0 0\n"


@pytest.fixture
def machine(tmp_path):
    """A machine whose tables a test writes; each reading is ten seconds after the one before."""

    class Fake:
        proc, sys, now = tmp_path / "proc", tmp_path / "sys", 0.0

        def __init__(self):
            (self.proc / "net").mkdir(parents=True)
            (self.proc / "net/sockstat").write_text(SOCKSTAT)
            (self.proc / "net/sockstat6").write_text("TCP6: inuse 4\nUDP6: inuse 1\n")
            self.retransmitted(0)

        def clock(self):
            self.now += 10.0
            return self.now

        def plugin(self, **options):
            looks = Machine(linux=True, proc=str(self.proc), sys=str(self.sys), clock=self.clock)
            return NetworkMonitor(options, looks)

        def shows(self, *rows):
            (self.proc / "net/dev").write_text(HEAD + "".join(rows))

        def retransmitted(self, segments):
            (self.proc / "net/snmp").write_text(SNMP.format(segments))

        def interface(self, name, operstate="up", speed=None, hardware=False):
            folder = self.sys / "class/net" / name
            folder.mkdir(parents=True)
            (folder / "operstate").write_text(f"{operstate}\n")
            if speed is not None:
                (folder / "speed").write_text(f"{speed}\n")
            if hardware:
                (folder / "device").mkdir()

    return Fake()


def second(machine, before, after, **options):
    plugin = machine.plugin(**options)
    machine.shows(*before)
    plugin.collect()
    machine.shows(*after)
    return plugin.collect()


def test_counters_become_rates(machine):
    data = second(machine, [row("eth0")], [row("eth0", rx=1000, tx=500, errors=20)])

    assert data["eth0"]["rx_bytes_per_second"] == 100.0
    assert data["eth0"]["tx_bytes_per_second"] == 50.0
    assert data["eth0"]["rx_errors_per_second"] == 2.0


def test_first_sample_has_no_rates(machine):
    machine.shows(row("eth0", rx=1_000_000))

    assert "total" not in machine.plugin().collect()


def test_counter_that_was_reset_is_a_gap(machine):
    data = second(machine, [row("eth0", rx=1000)], [row("eth0", rx=10, tx=10)])

    assert "rx_bytes_per_second" not in data["eth0"]
    assert data["eth0"]["tx_bytes_per_second"] == 1.0


def test_total_leaves_the_loopback_out(machine):
    data = second(machine, [row("lo"), row("eth0")], [row("lo", rx=9000), row("eth0", rx=1000)])

    assert data["lo"]["rx_bytes_per_second"] == 900.0
    assert data["total"]["rx_bytes_per_second"] == 100.0


def test_total_counts_what_passes_a_bridge_once(machine):
    machine.interface("eth0", hardware=True)
    machine.interface("br0")
    data = second(machine, [row("eth0"), row("br0")], [row("eth0", rx=1000), row("br0", rx=1000)])

    assert data["total"]["rx_bytes_per_second"] == 100.0


def test_link_state_and_speed(machine):
    machine.interface("eth0", speed=1000)
    machine.interface("eth1", "down", speed=-1)
    machine.interface("wg0", "unknown")
    machine.shows(row("eth0"), row("eth1"), row("wg0"))
    data = machine.plugin().collect()

    assert data["eth0"] == {"up": True, "speed_mbit": 1000}
    assert data["eth1"] == {"up": False}
    assert data["wg0"] == {"up": True}


def test_inner_ends_of_containers_are_left_out(machine):
    machine.shows(row("eth0"), row("veth12ab"))

    assert "veth12ab" not in machine.plugin().collect()


def test_interfaces_can_be_chosen(machine):
    machine.shows(row("eth0"), row("veth1"), row("veth2"))
    data = machine.plugin(include="veth*", exclude=["veth2"]).collect()

    assert {name for name in data if name.startswith(("eth", "veth"))} == {"veth1"}


def test_connections_are_counted_over_both_families(machine):
    machine.shows(row("eth0"))
    data = machine.plugin().collect()

    assert (data["tcp_sockets"], data["udp_sockets"], data["tcp_time_wait"], data["tcp_established"]) == (9, 3, 3, 4)


def test_retransmits_are_a_rate(machine):
    plugin = machine.plugin()
    machine.shows(row("eth0"))
    plugin.collect()
    machine.retransmitted(30)

    assert plugin.collect()["tcp_retransmits_per_second"] == 3.0


def test_interface_that_appears_later_is_shown(machine):
    data = second(machine, [row("eth0")], [row("eth0"), row("usb0")])

    assert "usb0" in data


def test_machine_without_socket_tables_shows_its_interfaces(machine):
    for name in ("sockstat", "sockstat6", "snmp"):
        (machine.proc / "net" / name).unlink()
    machine.shows(row("eth0"))

    assert machine.plugin().collect() == {"eth0": {}}


def test_psutil_gives_the_same_metrics():
    plugin = NetworkMonitor({"include": "*"}, Machine(linux=False, clock=iter([0.0, 10.0]).__next__))
    plugin.collect()
    data = plugin.collect()

    assert data["lo"]["up"] is True
    assert data["lo"]["rx_bytes_per_second"] >= 0


def test_this_machine_can_be_read():
    assert "lo" in NetworkMonitor({}).collect()
