"""The script that installs the agent on a host: ``install.sh``, told of this daemon and of that host."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hbd.errors import InvalidInput
from hbd.remote.package import PYTHON, Package

_TEMPLATE = Path(__file__).with_name("install.sh")
_PLACE = "# values\n"
_SERVER = re.compile(r"https?://[A-Za-z0-9._:\[\]-]{1,300}(?:/[A-Za-z0-9._~/-]{0,200})?")


@dataclass(frozen=True)
class Server:
    """Where agents find this daemon. certificate: PEM of what they have to trust in place of the system's authorities,
    None where those vouch for it. itself: it is the daemon's own, and no other counts; else that of its authority."""

    url: str
    certificate: str | None = None
    itself: bool = True

    def __post_init__(self) -> None:
        """Raises InvalidInput for a URL that could be anything but one in a script or a config file."""
        if not _SERVER.fullmatch(self.url):
            raise InvalidInput("an address like https://monitor.example:50004 is needed", "server")


def script(server: Server, package: Package, host: str, key: str) -> str:
    """What installs the agent of a host. It holds the host's key."""
    values = {
        "SERVER": server.url.rstrip("/"),
        "KEY": key,
        "NAME": host,
        "VERSION": package.version,
        "DIGEST": package.digest,
        "CERTIFICATE": (server.certificate or "").strip(),
        "TRUST": "" if server.certificate is None else "pin_file" if server.itself else "ca_file",
        "PYTHON_LEAST": ".".join(map(str, PYTHON)),
        "PYTHON_LEAST_TUPLE": ", ".join(map(str, PYTHON)),
    }
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    before, _, after = _template().partition(_PLACE)
    return before + lines + after


def line(server: Server, key: str) -> str:
    """What somebody types on a host to have the script fetched and run. It knows no way around the certificate."""
    url = shlex.quote(f"{server.url.rstrip('/')}/api/agents/install-script?key={key}")
    if server.certificate is None:
        return f"curl -fsS {url} | sudo sh"
    return f"curl -fsS --cacert /dev/stdin {url} <<'END' | sudo sh\n{server.certificate.strip()}\nEND"


@cache
def _template() -> str:
    return _TEMPLATE.read_text("utf-8")
