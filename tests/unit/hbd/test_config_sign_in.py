"""What must stand in the config before people are signed in by somebody else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hbd.config import Config, load
from hbd.config.checks import is_private_url
from hbd.errors import ConfigError

OIDC = """
base_url: https://hb.example.org
auth:
  oidc:
    issuer: {issuer}
    client_id: hbd
    client_secret: canary
    {who}
"""


def read(folder: Path, issuer: str = "https://id.example.org", who: str = "default_role: viewer") -> Config:
    path = folder / "hbd.yaml"
    path.write_text(OIDC.format(issuer=issuer, who=who))
    path.chmod(0o600)
    return load(path)


@pytest.mark.parametrize("who", ["default_role: viewer", "roles: {staff: viewer}"])
def test_a_provider_with_all_it_needs_is_taken(who: str, tmp_path: Path) -> None:
    assert read(tmp_path, who=who).auth.oidc.client_id == "hbd"


@pytest.mark.parametrize("issuer", ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:9000/realms/a"])
def test_a_provider_on_this_machine_may_do_without_tls(issuer: str, tmp_path: Path) -> None:
    assert read(tmp_path, issuer).auth.oidc.issuer == issuer


@pytest.mark.parametrize("issuer", ["http://10.0.0.1", "http://localhost.example.org", "http://id"])
def test_a_provider_elsewhere_needs_tls(issuer: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"auth\.oidc\.issuer: must be https"):
        read(tmp_path, issuer)


def test_a_missing_library_is_told_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joserfc", None)
    with pytest.raises(ConfigError, match=r"auth\.oidc\.issuer: needs: pip install 'hbd\[oidc\]'"):
        read(tmp_path)


def test_the_client_secret_is_not_printed(tmp_path: Path) -> None:
    assert "canary" not in repr(read(tmp_path))


def test_headers_of_a_trusted_proxy_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "hbd.yaml"
    path.write_text("trusted_proxies: [10.0.0.1]\nauth: {proxy: {user_header: Remote-User, default_role: viewer}}\n")
    assert load(path).auth.proxy.user_header == "Remote-User"


@pytest.mark.parametrize("url", ["", "https://", "http://", "https://[", "http://[::1", "ftp://localhost", "localhost"])
def test_what_is_no_url_is_not_private(url: str) -> None:
    assert not is_private_url(url)
