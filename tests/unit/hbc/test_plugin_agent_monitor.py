from hbc.plugins.agent_monitor import AgentMonitor
from hbc.plugins.base import Machine


def test_memory_and_threads_of_the_agent():
    data = AgentMonitor({}).collect()

    assert data["rss_mb"] > 1
    assert data["threads"] >= 1


def test_processor_time_is_that_since_the_sample_before():
    plugin = AgentMonitor({}, Machine(clock=iter([0.0, 10.0]).__next__))
    plugin.collect()

    assert plugin.collect()["cpu_percent"] >= 0


def test_what_the_agent_tells_is_shown():
    facts = {"spool_records": 3, "disk_monitor": {"ok": False, "seconds": 5.0}}
    plugin = AgentMonitor({}, Machine(facts=facts))
    facts["spool_records"] = 4

    assert plugin.collect()["spool_records"] == 4
    assert plugin.collect()["disk_monitor"] == {"ok": False, "seconds": 5.0}


def test_psutil_gives_the_same_metrics():
    assert AgentMonitor({}, Machine(linux=False)).collect()["rss_mb"] > 1
