"""TLS: the certificate that is served, proven before any client meets it, and for how long it is good.

A certificate and its key are tried out in a handshake with themselves, so that a pair that cannot serve is found at a
start or reload and not by clients. New handshakes are handed to the newest pair; open connections go on with theirs.
"""

from __future__ import annotations

import re
import ssl
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from hbd.errors import HbdError
from hbd.model import Moment

EXPIRY_NOTICE_SECONDS = 14 * 86400.0
DAY_SECONDS = 86400.0
MAX_FILE_BYTES = 1 << 20

# TLS 1.2 with forward secrecy and authenticated encryption; TLS 1.3 has nothing else.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which the ssl module has no name for
_CERTIFICATES = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")
_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")
_ABOUT_CERTIFICATE = frozenset({"EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"})


class Files(NamedTuple):
    """PEM files. key None: the private key is in the file of the chain."""

    chain: Path
    key: Path | None


class CertificateProblem(HbdError):
    """A certificate that cannot be served. ``key`` of the config names the file that is to blame."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.reason = reason


@dataclass(frozen=True)
class Pair:
    """A certificate with its key that has served a handshake. leaf: DER. starts, expires: Unix seconds.

    anchor: PEM of what clients may trust in place of their system's authorities, where it came with the certificate:
    the root above it, or the certificate itself when it is signed by nobody else.
    """

    files: Files
    context: ssl.SSLContext
    leaf: bytes
    starts: float
    expires: float
    anchor: str | None = None

    def warning(self, now: float) -> str | None:
        """What is to be said of its dates, as ``key: reason``. now: Unix seconds."""
        if now < self.starts:
            return f"wss_pem: the certificate is not valid before {_date(self.starts)}: browsers and agents refuse it"
        if now >= self.expires:
            when = f"expired on {_date(self.expires)}: browsers and agents refuse it"
        elif now >= self.expires - EXPIRY_NOTICE_SECONDS:
            days = int((self.expires - now) // DAY_SECONDS)
            when = f"expires on {_date(self.expires)}, in {days} day{'' if days == 1 else 's'}"
        else:
            return None
        return f"wss_pem: the certificate {when}; put a new one in its place and run hbd reload"


def load(files: Files) -> Pair:
    """Read a certificate and its key, and try them. Raises CertificateProblem."""
    chain = _read("wss_pem", files.chain)
    client = _client_that_trusts(files.chain, chain)
    holder = "wss_pem" if files.key is None else "wss_key"
    _check_key(holder, files.key or files.chain, chain if files.key is None else _read(holder, files.key))

    def no_password() -> NoReturn:
        raise CertificateProblem(
            holder, f"the private key in {files.key or files.chain} needs a password; store it without"
        )

    context = _context()
    try:
        context.load_cert_chain(files.chain, files.key, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            reason = f"the private key is not that of the first certificate in {files.chain}"
            raise CertificateProblem(holder, reason) from None
        blamed = "wss_pem" if error.reason in _ABOUT_CERTIFICATE else holder
        raise CertificateProblem(blamed, f"cannot be used: {_told(error)}") from None
    except OSError as error:
        raise CertificateProblem(holder, f"cannot be read: {error.strerror or error}") from None
    try:
        leaf, about = _try_out(context, client)
    except ssl.SSLError as error:
        raise CertificateProblem("wss_pem", f"no client would accept it: {_told(error)}") from None
    starts, expires = (float(ssl.cert_time_to_seconds(str(about[key]))) for key in ("notBefore", "notAfter"))
    return Pair(files, context, leaf, starts, expires, _anchor(client, leaf, about))


class Certificate:
    """The pair in force. ``context`` is for the listeners; it outlives every change of the pair."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.context = _context()
        self.context.sni_callback = self._hand_over
        self._told: float | None = None

    def replace(self, pair: Pair) -> bool:
        """Serve new handshakes with this pair; whether it is another certificate."""
        other = pair.leaf != self.pair.leaf
        self.pair = pair
        if other:
            self._told = None
        return other

    def pem(self) -> str:
        """The certificate itself, without its chain."""
        return ssl.DER_cert_to_PEM_cert(self.pair.leaf)

    def due_warning(self, now: Moment) -> str | None:
        """The warning of the pair, once a day."""
        warning = self.pair.warning(now.wall)
        if warning is None or (self._told is not None and now.mono - self._told < DAY_SECONDS):
            return None
        self._told = now.mono
        return warning

    def _hand_over(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Called in each handshake, whether or not the client names a server."""
        connection.context = self.pair.context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context


def _read(key: str, file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CertificateProblem(key, f"{file} cannot be read: {error.strerror or error}") from None
    if len(content) > MAX_FILE_BYTES:
        raise CertificateProblem(key, f"{file} is larger than {MAX_FILE_BYTES // 2**20} MiB")
    return content.decode("utf-8", "replace")


def _check_key(holder: str, file: Path, text: str) -> None:
    if not _PRIVATE_KEY.search(text):
        hint = "; wss_key names the file that has it" if holder == "wss_pem" else ""
        raise CertificateProblem(holder, f"there is no private key in {file}{hint}")
    if file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        reason = f"every user of this machine may read or change the private key in {file}; run: chmod 600 {file}"
        raise CertificateProblem(holder, reason)


def _client_that_trusts(file: Path, chain: str) -> ssl.SSLContext:
    """The client's side of the trial: it asks for no name and no date, only whether the pair works."""
    certificates = _CERTIFICATES.findall(chain)
    if not certificates:
        raise CertificateProblem("wss_pem", f"there is no certificate in {file}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    try:
        context.load_verify_locations(cadata="\n".join(certificates))
    except ssl.SSLError as error:
        raise CertificateProblem("wss_pem", f"a certificate in {file} cannot be read: {_told(error)}") from None
    return context


def _anchor(trusting: ssl.SSLContext, leaf: bytes, about: dict[str, Any]) -> str | None:
    if about["subject"] == about["issuer"]:
        return ssl.DER_cert_to_PEM_cert(leaf)
    chain = zip(trusting.get_ca_certs(), trusting.get_ca_certs(binary_form=True), strict=True)
    roots = [der for about_it, der in chain if about_it["subject"] == about_it["issuer"]]
    return ssl.DER_cert_to_PEM_cert(roots[0]) if roots else None


def _try_out(served: ssl.SSLContext, trusting: ssl.SSLContext) -> tuple[bytes, dict[str, Any]]:
    """(the certificate as DER, what is in it), as a client sees it. Raises SSLError."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server)
    server = served.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
    leaf, about = client.getpeercert(binary_form=True), client.getpeercert()
    assert leaf is not None and about is not None
    return leaf, about


def _told(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or str(error)).replace("_", " ").lower()


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
