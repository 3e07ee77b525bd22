"""Certificates: what is refused and in which words, how one follows another, and when they are warned about."""

from __future__ import annotations

import re
import ssl
import time
from pathlib import Path

import pytest
from certificates import Authority, private
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from hbd.model import Moment
from hbd.tls import DAY_SECONDS, Certificate, CertificateProblem, Files, Pair, load

DAY = DAY_SECONDS
END = 1_800_000_000.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def client_of(authority: Authority, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.file)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def shake(client: ssl.SSLContext, server: ssl.SSLContext, name: str | None = "localhost") -> ssl.SSLObject:
    """The client's side of a handshake in memory; the client is always the first to speak. Raises SSLError."""
    if name is None:
        client.check_hostname = False
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=name)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (near, far, near, far, near):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
    return near


def dated(*, starts: float = 0.0, expires: float = END) -> Pair:
    nothing = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return Pair(Files(Path("server.pem"), None), nothing, b"leaf", starts, expires)


def problem(files: Files) -> str:
    with pytest.raises(CertificateProblem) as caught:
        load(files)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------------- loading


def test_dates_are_those_of_the_certificate(authority: Authority) -> None:
    pair = load(Files(*authority.issue(days=10, begins=-5)))
    assert round((pair.expires - time.time()) / DAY) == 10
    assert round((pair.starts - time.time()) / DAY) == -5


def test_the_key_may_be_in_the_file_of_the_certificate(authority: Authority) -> None:
    certificate, key = authority.issue()
    key.write_bytes(certificate.read_bytes() + key.read_bytes())
    assert load(Files(key, None)).leaf == ssl.PEM_cert_to_DER_cert(certificate.read_text())


def test_the_chain_may_follow_the_certificate(authority: Authority) -> None:
    certificate, key = authority.issue()
    leaf = certificate.read_text()
    certificate.write_text(leaf + authority.file.read_text())
    assert load(Files(certificate, key)).leaf == ssl.PEM_cert_to_DER_cert(leaf)


def test_an_expired_certificate_is_loaded(authority: Authority) -> None:
    assert load(Files(*authority.issue(days=-1))).expires < time.time()


def test_a_key_of_another_certificate_is_refused(authority: Authority) -> None:
    certificate, _ = authority.issue()
    _, key = authority.issue("other")
    assert problem(Files(certificate, key)) == (
        f"wss_key: the private key is not that of the first certificate in {certificate}"
    )


def test_a_chain_in_the_wrong_order_is_refused(authority: Authority) -> None:
    certificate, key = authority.issue()
    certificate.write_text(authority.file.read_text() + certificate.read_text())
    assert "not that of the first certificate" in problem(Files(certificate, key))


def test_a_file_without_a_certificate_is_refused(authority: Authority) -> None:
    certificate, key = authority.issue()
    certificate.write_text("nothing")
    assert problem(Files(certificate, key)) == f"wss_pem: there is no certificate in {certificate}"


def test_a_file_without_a_key_is_refused(authority: Authority) -> None:
    certificate, _ = authority.issue()
    assert problem(Files(certificate, None)) == (
        f"wss_pem: there is no private key in {certificate}; wss_key names the file that has it"
    )


def test_a_missing_file_is_refused(authority: Authority) -> None:
    certificate, key = authority.issue()
    key.unlink()
    assert problem(Files(certificate, key)) == f"wss_key: {key} cannot be read: No such file or directory"


def test_a_damaged_certificate_is_refused(authority: Authority) -> None:
    certificate, key = authority.issue()
    certificate.write_text(certificate.read_text().replace("M", "N"))
    assert problem(Files(certificate, key)).startswith(f"wss_pem: a certificate in {certificate} cannot be read: ")


def test_a_damaged_key_is_refused(authority: Authority) -> None:
    certificate, key = authority.issue()
    key.write_text(key.read_text().replace("M", "N"))
    assert problem(Files(certificate, key)).startswith("wss_key: cannot be used: ")


def test_a_key_with_a_password_is_refused_without_asking_for_it(authority: Authority) -> None:
    certificate, key = authority.issue()
    key.write_bytes(private(ec.generate_private_key(ec.SECP256R1()), b"secret"))
    assert problem(Files(certificate, key)) == f"wss_key: the private key in {key} needs a password; store it without"


def test_a_certificate_for_clients_alone_is_refused(authority: Authority) -> None:
    files = Files(*authority.issue(usage=ExtendedKeyUsageOID.CLIENT_AUTH))
    assert re.fullmatch(r"wss_pem: no client would accept it: \w+ certificate purpose", problem(files))


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o666])
def test_a_key_that_everybody_may_read_or_change_is_refused(authority: Authority, mode: int) -> None:
    certificate, key = authority.issue()
    key.chmod(mode)
    assert problem(Files(certificate, key)) == (
        f"wss_key: every user of this machine may read or change the private key in {key}; run: chmod 600 {key}"
    )


def test_a_key_that_a_group_may_read_is_taken(authority: Authority) -> None:
    certificate, key = authority.issue()
    key.chmod(0o640)
    assert load(Files(certificate, key)).leaf


# ------------------------------------------------------------------------------------------------------------- serving


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_good_versions_of_tls_are_spoken_with_forward_secrecy(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    served = Certificate(load(Files(*authority.issue())))
    spoken = shake(client_of(authority, version), served.context)
    assert spoken.version() == version.name.replace("TLSv1_", "TLSv1.")
    cipher = spoken.cipher()
    assert cipher is not None and cipher[0].startswith(("ECDHE-", "TLS_"))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_older_tls_is_refused(authority: Authority) -> None:
    old = client_of(authority, ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shake(old, Certificate(load(Files(*authority.issue()))).context)


def test_http_1_1_is_chosen(authority: Authority) -> None:
    served = Certificate(load(Files(*authority.issue())))
    assert shake(client_of(authority), served.context).selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("name", ["localhost", None])
def test_the_newest_pair_serves_new_handshakes(authority: Authority, name: str | None) -> None:
    served = Certificate(load(Files(*authority.issue("old"))))
    newer = load(Files(*authority.issue("new")))
    assert served.replace(newer)
    assert shake(client_of(authority), served.context, name).getpeercert(binary_form=True) == newer.leaf


def test_the_same_certificate_again_is_no_other(authority: Authority) -> None:
    files = Files(*authority.issue())
    assert not Certificate(load(files)).replace(load(files))


# -------------------------------------------------------------------------------------------------------------- expiry


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (15 * DAY, None),
        (14 * DAY + 1, None),
        (14 * DAY, "expires on 2027-01-15, in 14 days"),
        (1.5 * DAY, "expires on 2027-01-15, in 1 day;"),
        (60.0, "expires on 2027-01-15, in 0 days"),
        (0.0, "expired on 2027-01-15: browsers and agents refuse it"),
    ],
)
def test_the_end_is_warned_about_two_weeks_before(before: float, said: str | None) -> None:
    warning = dated().warning(END - before)
    assert warning is None if said is None else said in str(warning)


def test_a_certificate_of_the_future_is_warned_about() -> None:
    assert "not valid before 2027-01-15" in str(dated(starts=END, expires=END + 90 * DAY).warning(END - 1))


def test_the_warning_is_due_once_a_day() -> None:
    served = Certificate(dated())
    hours = [0.0, 1.0, 23.9, 24.0, 25.0, 47.9, 48.0]
    due = [hour for hour in hours if served.due_warning(Moment(END - 5 * DAY, 100.0 + hour * 3600.0))]
    assert due == [0.0, 24.0, 48.0]


def test_another_certificate_that_ends_soon_is_warned_about_at_once() -> None:
    served, now = Certificate(dated()), Moment(END - DAY, 100.0)
    served.due_warning(now)
    nothing = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.replace(Pair(Files(Path("server.pem"), None), nothing, b"another", 0.0, END))
    assert served.due_warning(now)
