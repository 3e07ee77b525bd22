"""What can only be seen across keys."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from hbd import tls
from hbd.config.reading import Reading
from hbd.config.structs import ConfigFile, Oidc, ProxyLogin, Threshold
from hbd.errors import InvalidInput
from hbd.model import is_host_name, is_plugin_name

T = TypeVar("T")

_HEADERS_OF_REMOTE_WRITE = frozenset(
    ("connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding", "user-agent")
) | {"x-prometheus-remote-write-version"}


def check(config: ConfigFile, reading: Reading) -> None:
    """Adds to the reading's problems what is wrong between keys. Keys that could not be read are left alone."""
    _check_ports(config, reading)
    _check_certificates(config, reading)
    _check_threshold_names(config, reading)
    _check_assignments(config, reading)
    _check_thresholds(config, reading)
    _check_routes(config, reading)
    _check_maintenance(config, reading)
    _check_remote_write(config, reading)
    _check_scraping(config, reading)
    if not reading.is_bad("auth"):
        _check_oidc(config, reading)
        _check_proxy_login(config, reading)


def warnings(config: ConfigFile) -> list[str]:
    """``key: reason``: what was read but is not as somebody may think."""
    listed = {name.lower() for name in config.watchhosts or ()}
    unwatched = [name for name, host in config.hosts.items() if host.watch is False]
    found = [
        f"hosts.{name}.watch: false, but watchhosts lists the host, so it is watched"
        for name in unwatched
        if name.lower() in listed
    ]
    if unwatched and config.watchhosts is None and not any(host.watch for host in config.hosts.values()):
        found.append(
            f"hosts.{unwatched[0]}.watch: false turns off watching every host; name those to watch in watchhosts"
        )
    found += [
        f"remote_write.{name}.url: not https, so others on the way can read the password or token"
        for name, section in config.remote_write.items()
        if (section.bearer_token or section.username) and section.url and not is_private_url(section.url)
    ]
    return found


def _check_ports(config: ConfigFile, reading: Reading) -> None:
    """hb_port is UDP and may have the number of one of the others."""
    users: dict[int, str] = {}
    for key in ("hbd_port", "ws_port", "wss_port"):
        port = getattr(config, key)
        if not port or reading.is_bad(key):
            continue
        if port in users:
            other = users[port]
            line = max(reading.lines.get(key, 1), reading.lines.get(other, 1))
            reading.problem(line, key, f"port {port} is used by {other} too")
        users[port] = key


def _check_certificates(config: ConfigFile, reading: Reading) -> None:
    if not (config.hbd_tls or config.wss_port is not None) or reading.is_bad("cert_path"):
        return
    if config.wss_pem is None and not reading.is_bad("wss_pem"):
        asking = "hbd_tls" if config.hbd_tls else "wss_port"
        reading.problem(reading.lines.get(asking, 1), "wss_pem", f"is needed, as {asking} asks for TLS")
    files = config.certificate_in(reading.folder)
    if files is None or reading.is_bad("wss_pem") or reading.is_bad("wss_key"):
        return
    missing = [(key, file) for key, file in (("wss_pem", files.chain), ("wss_key", files.key)) if _is_missing(file)]
    for key, file in missing:
        reading.problem(reading.lines.get(key, 1), key, f"there is no file {file}")
    if not missing:
        try:
            tls.load(files)
        except tls.CertificateProblem as problem:
            reading.problem(reading.lines.get(problem.key, 1), problem.key, problem.reason)


def _is_missing(file: Path | None) -> bool:
    try:
        return file is not None and not file.is_file()
    except OSError:
        return False  # whoever reads it will say what is wrong


def _check_thresholds(config: ConfigFile, reading: Reading) -> None:
    for name, thresholds in config.threshold_configs.items():
        for path, threshold in thresholds.items():
            key = ".".join(("threshold_configs", name, *path))
            if not reading.is_bad(key):
                for reason in _wrong_with(path, threshold):
                    reading.problem(reading.lines.get(key, 1), key, reason)


def _wrong_with(path: tuple[str, ...], threshold: Threshold) -> Iterator[str]:
    warning, critical, operator = threshold.warning, threshold.critical, threshold.operator
    if len(path) > 3:
        yield "no metric lies that deep; a path is plugin, metric or plugin, key, metric"
    if warning is None and critical is None and threshold.enabled and operator != "nagios":
        yield "needs warning or critical, or enabled: false"
    if threshold.hysteresis and operator in ("==", "!=", "nagios"):
        yield f"hysteresis means nothing with the operator {operator}"
    if warning is None or critical is None:
        return
    if operator in (">", ">=") and warning > critical:
        yield f"with {operator} the warning must not be above critical, or it is never told"
    if operator in ("<", "<=") and warning < critical:
        yield f"with {operator} the warning must not be below critical, or it is never told"


def _check_threshold_names(config: ConfigFile, reading: Reading) -> None:
    if reading.is_bad("threshold_configs"):
        return  # a name may be missing for that alone
    for host, section in config.hosts.items():
        _check_configs_exist(f"hosts.{host}.threshold_config", section.threshold_config, config, reading)
    for name, assignment in config.threshold_assignments.items():
        _check_configs_exist(f"threshold_assignments.{name}.config", assignment.config, config, reading)


def _check_configs_exist(key: str, names: tuple[str, ...], config: ConfigFile, reading: Reading) -> None:
    known = {"default", *config.threshold_configs}
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), 1)
            hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(known))}"
            reading.problem(reading.lines.get(key, 1), key, f"there is no threshold config {name}; {hint}")


def _readable(kind: str, sections: Mapping[str, T], reading: Reading) -> Iterator[tuple[str, int, T]]:
    """The key, line and values of each section of a kind in which nothing is wrong so far."""
    for name, section in sections.items():
        key = f"{kind}.{name}"
        if not reading.is_bad(key):
            yield key, reading.lines.get(key, 1), section


def _check_assignments(config: ConfigFile, reading: Reading) -> None:
    for key, line, assignment in _readable("threshold_assignments", config.threshold_assignments, reading):
        if not assignment.config:
            reading.problem(line, f"{key}.config", "is needed: a name in threshold_configs, or a list of them")
        if not (assignment.hosts or assignment.tags):
            reading.problem(line, f"{key}.hosts", "is needed, or tags; all hosts are '*'")


def _check_routes(config: ConfigFile, reading: Reading) -> None:
    for key, line, route in _readable("notification_routes", config.notification_routes, reading):
        if not route.channels:
            reading.problem(line, f"{key}.channels", "is needed: a name in notification_channels, or a list of them")


def _check_maintenance(config: ConfigFile, reading: Reading) -> None:
    for key, line, section in _readable("maintenance", config.maintenance, reading):
        if not (section.hosts or section.tags or section.metrics):
            reading.problem(line, f"{key}.hosts", "is needed, or tags, or metrics; all hosts are '*'")
        try:
            _ = section.window
        except InvalidInput as wrong:
            wrong_key = f"{key}.{wrong.field}"
            reading.problem(reading.lines.get(wrong_key, line), wrong_key, wrong.reason)


def _check_remote_write(config: ConfigFile, reading: Reading) -> None:
    for key, line, section in _readable("remote_write", config.remote_write, reading):
        if section.url is None:
            reading.problem(line, f"{key}.url", "is needed, such as http://127.0.0.1:9090/api/v1/write")
        if (section.username is None) != (section.password is None):
            missing = "username" if section.username is None else "password"
            reading.problem(line, f"{key}.{missing}", "is needed: username and password belong together")
        given = {header.lower(): header for header in section.headers}
        ours = _HEADERS_OF_REMOTE_WRITE
        if section.bearer_token is not None or section.username is not None:
            ours = ours | {"authorization"}
        if section.bearer_token is not None and section.username is not None:
            reading.problem(line, f"{key}.bearer_token", "is given, and username too; the receiver wants one of them")
        for header in sorted(given.keys() & ours):
            wrong = f"{key}.headers.{given[header]}"
            reading.problem(reading.lines.get(wrong, line), wrong, "is set by hbd itself")


def _check_scraping(config: ConfigFile, reading: Reading) -> None:
    for key, line, job in _readable("scrape", config.scrape, reading):
        if not is_plugin_name(key.removeprefix("scrape.")):
            reading.problem(line, key, "is no name of a plugin: 1-64 letters, digits, . _ - : can be used")
        if not job.urls:
            reading.problem(line, f"{key}.urls", "is needed: the address of an exporter, or a list of them")
        if job.timeout > job.interval:
            reading.problem(reading.lines.get(f"{key}.timeout", line), f"{key}.timeout", "must not exceed interval")
        if job.token is not None and job.username is not None:
            reading.problem(reading.lines.get(f"{key}.token", line), f"{key}.token", "give either token or username")
        hosts = [job.host or urlsplit(url).hostname or "" for url in job.urls]
        for host in dict.fromkeys(hosts):
            if not is_host_name(host):
                reading.problem(line, f"{key}.host", f"is needed, as {host[:100]} can be no name of a host")
            elif hosts.count(host) > 1:
                reading.problem(line, f"{key}.urls", f"two are for the host {host}; give each a job of its own")


def is_private_url(url: str) -> bool:
    """Whether nobody between can read or answer what is asked there: https, or http that stays on this machine."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "http":
            return parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname)


def _check_oidc(config: ConfigFile, reading: Reading) -> None:
    key, oidc = "auth.oidc.issuer", config.auth.oidc
    if oidc.issuer is None:
        return
    line = reading.lines.get(key, 1)
    if not is_private_url(oidc.issuer):
        reading.problem(line, key, "must be https, but for a provider on this machine")
    if importlib.util.find_spec("joserfc") is None:
        reading.problem(line, key, "needs: pip install 'hbd[oidc]'")
    if oidc.client_id is None:
        reading.problem(line, "auth.oidc.client_id", f"is needed, as there is {key}")
    if config.base_url is None and not reading.is_bad("base_url"):
        reading.problem(line, "base_url", f"is needed, as there is {key}: the provider sends browsers back there")
    if "openid" not in oidc.scopes:
        reading.problem(reading.lines.get("auth.oidc.scopes", line), "auth.oidc.scopes", "must have openid in it")
    _check_roles("auth.oidc", oidc, line, reading)


def _check_proxy_login(config: ConfigFile, reading: Reading) -> None:
    key, proxy = "auth.proxy.user_header", config.auth.proxy
    if proxy.user_header is None:
        return
    line = reading.lines.get(key, 1)
    if not config.trusted_proxies and not reading.is_bad("trusted_proxies"):
        reading.problem(line, "trusted_proxies", f"is needed, as there is {key}: from others the header counts nothing")
    _check_roles("auth.proxy", proxy, line, reading)


def _check_roles(key: str, people: Oidc | ProxyLogin, line: int, reading: Reading) -> None:
    if not people.roles and people.default_role is None:
        reading.problem(line, f"{key}.roles", f"is needed, or {key}.default_role: nobody would get in")
