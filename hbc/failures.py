"""Why a server cannot be reached, in plain words."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from urllib.parse import urlsplit

_ERRNO = re.compile(r"\[Errno (\d+)\]")
_PLAIN_HTTP = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})  # what OpenSSL makes of an answer without TLS
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})  # X509_V_ERR_…: somebody vouches for it whom we do not know


def explain(error: Exception, server: str) -> str:
    """What went wrong, with host and port. server: the URL that was tried."""
    parts = urlsplit(server)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "; name its authority in ca_file" if error.verify_code in _UNKNOWN_AUTHORITY else ""
        return f"the TLS certificate is not trusted: {error.verify_message.rstrip('.')} ({where}){hint}"
    if isinstance(error, ssl.SSLError):
        if error.reason in _PLAIN_HTTP:
            return f"no TLS is spoken there; is it a http:// server? ({where})"
        return f"TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()} ({where})"
    if isinstance(error, socket.gaierror):
        reason = "the name server does not answer" if error.errno == socket.EAI_AGAIN else "name not found"
        return f"{reason} ({host})"
    # A name with several addresses may give one error that lists one for each.
    numbers = [error.errno] if isinstance(error, OSError) and error.errno else map(int, _ERRNO.findall(str(error)))
    reasons = dict.fromkeys(os.strerror(number) for number in numbers)
    if reasons:
        return f"{', '.join(_lower(reason) for reason in reasons)} ({where})"
    if isinstance(error, TimeoutError):
        return f"{_lower(os.strerror(errno.ETIMEDOUT))} ({where})"
    return f"{str(error) or type(error).__name__} ({where})"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
