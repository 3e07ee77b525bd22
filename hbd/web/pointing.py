"""How agents are pointed at this daemon: lines to copy, for hbc and for the agents of other systems. Pure."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

KEY = "KEY"
"""stands for the key of the host, which nobody is shown twice"""
HOST_NAME, HOST_NUMBER = "HOST-NAME", "HOST-NUMBER"
"""stand for a host that is still to be made"""
CURL = "curl -fsS -m 10"
PING = "curl -fsS -m 10 --retry 5 -o /dev/null"
MOST_LOG_BYTES = 10_000  # of what a job says, hbd keeps no more


class Step(NamedTuple):
    """words: what to do with the text."""

    words: str
    text: str


class Way(NamedTuple):
    """One kind of agent, and what it takes to have it report here."""

    title: str
    steps: tuple[Step, ...]


def ways(origin: str, host: str, number: int | str) -> list[Way]:
    """origin: where this daemon is reached. host, number: whom the reports are for."""
    url = urlsplit(origin)
    server = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    port = url.port or (443 if url.scheme == "https" else 80)
    as_json = "-H 'Content-Type: application/json'"
    into_config = "Put this into the configuration file of hbd, and have it read that with `hbd reload`"
    return [
        Way("hbc", (Step("Start the agent on the machine", f"hbc run --server {origin} --key {KEY}"),)),
        Way(
            "Telegraf",
            (
                Step(
                    "Put this into `/etc/telegraf/telegraf.d/hbd.conf`, and restart Telegraf",
                    "[[outputs.influxdb]]\n"
                    f'  urls = ["{origin}"]\n'
                    '  username = "any"\n'
                    f'  password = "{KEY}"\n'
                    "  skip_database_creation = true",
                ),
            ),
        ),
        Way(
            "Glances",
            (
                Step(
                    "Put this into `/etc/glances/glances.conf`",
                    f"[influxdb]\nhost={server}\nport={port}\nprotocol={url.scheme}\nuser=any\npassword={KEY}\ndb=any",
                ),
                Step("Start it", "glances --quiet --export influxdb"),
            ),
        ),
        Way(
            "node_exporter",
            (
                Step(
                    f"{into_config}. hbd asks by itself; no key is needed",
                    _scrape("node", f"http://{host}:9100/metrics", host),
                ),
            ),
        ),
        Way(
            "collectd",
            (
                Step(
                    "Put this into `/etc/collectd/collectd.conf`, and restart collectd",
                    'LoadPlugin write_prometheus\n<Plugin write_prometheus>\n  Port "9103"\n</Plugin>',
                ),
                Step(
                    f"{into_config}. hbd asks by itself; no key is needed",
                    _scrape("collectd", f"http://{host}:9103/metrics", host),
                ),
            ),
        ),
        Way(
            "Nagios and Icinga",
            (
                Step(
                    "The result of a check, from a script",
                    f"{CURL} {origin}/nagios/results -H 'X-Agent-Key: {KEY}' {as_json} \\\n"
                    '  -d \'{"service": "raid", "state": 0, "output": "OK - md0 is clean | disks=2"}\'',
                ),
                Step(
                    "The same over NRDP; `send_nrdp.sh` takes this address, too, and the key as its token",
                    f"{CURL} {origin}/nrdp/ --data-urlencode token={KEY} -d cmd=submitcheck \\\n"
                    '  --data-urlencode \'JSONDATA={"checkresults": [{"checkresult": {"type": "service"}, '
                    f'"hostname": "{host}",\n'
                    '  "servicename": "raid", "state": "0", "output": "OK - md0 is clean | disks=2"}]}\'',
                ),
                Step(
                    "A check that hbc runs by itself, in `/etc/hbc/config.yaml`",
                    'plugins:\n  nagios_runner:\n    checks:\n      load: [check_load, -w, "5,4,3", -c, "10,8,6"]',
                ),
            ),
        ),
        Way(
            "Monitron",
            (
                Step(
                    f"The agent is given the server `{origin}` and the key. It sends this",
                    f"{CURL} {origin}/agent/report {as_json} \\\n"
                    f'  -d \'{{"agent_key": "{KEY}", "cpu_usage": 12.4, "memory_usage": 45.0,\n'
                    '  "disk_usage": [{"mount": "/", "usage": 62.0, "size": "50G", "used": "31G", "avail": "19G"}]}\'',
                ),
            ),
        ),
        Way(
            "HitFlow",
            (
                Step(
                    f"The agent is given the server `{origin}`, the number `{number}` and the key. It sends this",
                    f"{CURL} {origin}/agent/v1/report {as_json} \\\n"
                    f"  -H 'HitFlow-Agent-Server: {number}' -H 'HitFlow-Agent-Token: {KEY}' \\\n"
                    '  -d \'{"operating_system": "Debian GNU/Linux 12", "uptime": 86400, "cpu": 12.4,\n'
                    '  "load_average": [0.5, 0.25, 1.0], "memory": {"available": 9011, "total": 16384, "used": 7373},\n'
                    '  "swap": {"available": 2048, "total": 2048, "used": 0},\n'
                    '  "storage": [{"name": "/", "total": 50, "used": 31}],\n'
                    '  "process": [["nginx", "www-data", 1.5, 120]]}\'',
                ),
            ),
        ),
        Way(
            "NOBA",
            (
                Step(
                    f"The agent is given the server `{origin}` and the key. It sends this",
                    f"{CURL} {origin}/api/agent/report -H 'X-Agent-Key: {KEY}' {as_json} \\\n"
                    '  -d \'{"cpu_percent": 12.4, "mem_percent": 45.0, "disk_percent": 62.0, "uptime_s": 86400}\'',
                ),
            ),
        ),
        Way(
            "A script of your own",
            (
                Step(
                    "Any number, in InfluxDB's line protocol: measurement, tags, values",
                    f"{CURL} {origin}/api/v2/write -H 'Authorization: Token {KEY}' \\\n"
                    "  --data-binary 'tea,room=kitchen degrees=80'",
                ),
            ),
        ),
    ]


def _scrape(job: str, url: str, host: str) -> str:
    return f'scrape:\n  {job}:\n    urls: {url}\n    host: "{host}"'


def calls(url: str, cron: str) -> list[Step]:
    """How a job calls. url: its own. cron: when it runs, "" where it says no more than how often."""
    when = f"{cron}  " if cron else ""
    return [
        Step("In a crontab: it calls when all went well", f"{when}/usr/local/bin/backup && {PING} {url}"),
        Step("In a crontab: it also tells how it ended", f"{when}/usr/local/bin/backup; {PING} {url}/$?"),
        Step(
            "In a script: with the time it takes, and the end of what it says",
            f"{PING} {url}/start\n"
            "said=$(/usr/local/bin/backup 2>&1); code=$?\n"
            f'printf %s "$said" | tail -c {MOST_LOG_BYTES} | {PING} --data-binary @- {url}/$code',
        ),
    ]
