"""Which servers the agent believes over TLS: those that the system's authorities vouch for, those of an authority of
your own, or those with one certificate alone.

The files are read at each connection, so a replaced one counts from the next on.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

_FILE_BYTES = 1 << 20
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")


class TrustProblem(Exception):
    """A file of certificates cannot be used, or the server showed another certificate; ``key: reason``."""


@dataclass(frozen=True)
class Trust:
    """ca_file: of authorities that count in place of the system's. pin_file: of the only certificates that count.

    A server with a pinned certificate is believed whatever it is called: nobody else has the key of that certificate.
    """

    ca_file: Path | None = None
    pin_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """For one connection. Raises TrustProblem."""
        key, file = ("pin_file", self.pin_file) if self.pin_file else ("ca_file", self.ca_file)
        if file is None:
            return ssl.create_default_context()
        try:
            context = ssl.create_default_context(cadata="\n".join(_certificates(key, file)))
        except ssl.SSLError as error:
            raise TrustProblem(f"{key}: a certificate in {file} cannot be read: {error.reason or error}") from None
        # What is named is trusted, also where it is the server's own certificate and not that of its authority.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self.pin_file:
            context.check_hostname = False  # ``check`` asks for more than a name
        return context

    def check(self, certificate: bytes | None) -> None:
        """What a server showed, as DER, before it is told anything. Raises TrustProblem when another one is pinned."""
        if self.pin_file is None:
            return
        pinned = [ssl.PEM_cert_to_DER_cert(text) for text in _certificates("pin_file", self.pin_file)]
        if certificate not in pinned:
            raise TrustProblem(f"pin_file: the server has another certificate than those in {self.pin_file}")


SYSTEM_TRUST = Trust()


def _certificates(key: str, file: Path) -> list[str]:
    try:
        with file.open("rb") as opened:
            content = opened.read(_FILE_BYTES)
    except OSError as error:
        raise TrustProblem(f"{key}: {file} cannot be read: {error.strerror or error}") from None
    found = _CERTIFICATE.findall(content.decode("ascii", "replace"))
    if not found:
        raise TrustProblem(f"{key}: there is no certificate in {file}")
    return found
