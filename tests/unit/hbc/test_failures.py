from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from hbc.failures import explain


def certificate_error(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "server", "text"),
    [
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 50004)"),
            "http://127.0.0.1:50004",
            "connection refused (127.0.0.1:50004)",
        ),
        (OSError(errno.EHOSTUNREACH, "x"), "https://[2001:db8::1]", "no route to host ([2001:db8::1]:443)"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 9), [Errno 101] Connect call failed"),
            "http://mon.example",
            "connection refused, network is unreachable (mon.example:80)",
        ),
        (socket.gaierror(socket.EAI_NONAME, "x"), "https://mon.example", "name not found (mon.example)"),
        (
            socket.gaierror(socket.EAI_AGAIN, "x"),
            "https://mon.example",
            "the name server does not answer (mon.example)",
        ),
        (TimeoutError("timed out during opening handshake"), "http://a:1", "connection timed out (a:1)"),
        (TimeoutError(), "http://a:1", "connection timed out (a:1)"),
        (
            certificate_error(18, "self-signed certificate"),
            "https://a:1",
            "the TLS certificate is not trusted: self-signed certificate (a:1); name its authority in ca_file",
        ),
        (
            certificate_error(10, "certificate has expired"),
            "https://a:1",
            "the TLS certificate is not trusted: certificate has expired (a:1)",
        ),
        (tls_error("WRONG_VERSION_NUMBER"), "https://a:1", "no TLS is spoken there; is it a http:// server? (a:1)"),
        (tls_error("NO_CIPHERS_AVAILABLE"), "https://a:1", "TLS failed: no ciphers available (a:1)"),
        (EOFError(), "http://a:1", "EOFError (a:1)"),
    ],
)
def test_failure_is_told_in_plain_words(error: Exception, server: str, text: str) -> None:
    assert explain(error, server) == text


async def test_certificate_of_nobody_is_explained(tmp_path: Path) -> None:
    pem = tmp_path / "pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-keyout", pem, "-out", tmp_path / "crt"],
        check=True,
        capture_output=True,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", pem)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(ssl.SSLCertVerificationError) as raised:
        await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context())
    server.close()
    await server.wait_closed()
    assert explain(raised.value, f"https://127.0.0.1:{port}").startswith("the TLS certificate is not trusted: self")
