"""The agent as one file: what is in it, that it runs anywhere, that it is the same each time."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import hbc
from hbd.remote.package import Package, build


@pytest.fixture(scope="module")
def package() -> Package:
    return build()


def names(package: Package) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(package.data)).namelist()


def run(package: Package, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The package under a Python that has nothing installed."""
    file = folder / "hbc.pyz"
    file.write_bytes(package.data)
    return subprocess.run(
        [sys.executable, "-I", "-S", str(file), *arguments],
        cwd=folder,
        env={"HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_same_sources_give_the_same_bytes(package: Package) -> None:
    assert build() == package


def test_the_digest_is_that_of_the_bytes(package: Package) -> None:
    assert package.digest == hashlib.sha256(package.data).hexdigest()


def test_there_is_nothing_compiled_in_it(package: Package) -> None:
    assert {Path(name).suffix for name in names(package)} == {".py", ".txt"}


def test_nothing_of_the_daemon_is_in_it(package: Package) -> None:
    assert {name.partition("/")[0] for name in names(package)} == {
        *("__main__.py", "hbc", "licences", "websockets", "yaml")
    }


@pytest.mark.parametrize("library", ["websockets", "yaml"])
def test_the_licence_of_a_library_goes_with_it(package: Package, library: str) -> None:
    assert f"licences/{library}.txt" in names(package)


def test_it_runs_where_nothing_is_installed(package: Package, tmp_path: Path) -> None:
    told = run(package, tmp_path, "--version")
    assert (told.stdout, told.stderr) == (f"hbc {hbc.__version__}\n", "")


def test_it_measures_where_nothing_is_installed(package: Package, tmp_path: Path) -> None:
    told = run(package, tmp_path, "once")
    measured = {sample["plugin"] for sample in json.loads(told.stdout)["samples"]}
    assert {"cpu_monitor", "memory_monitor", "disk_monitor", "network_monitor", "os_info"} <= measured
