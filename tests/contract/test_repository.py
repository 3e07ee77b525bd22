"""Promises about the repository as a whole: what is in it, what is not, and that its texts tell the truth."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import typing
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from hbc import wire
from hbc.cli import main as hbc_main
from hbd.cli import main as hbd_main
from hbd.receivers import agent_frames
from hbd.remote import frames

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("hbd", "hbc")
VENDORED = ROOT / "static" / "vendor"


def files(*suffixes: str, under: Path = ROOT) -> Iterator[Path]:
    """The repository's files with these suffixes (all without any), leaving out what tools and builds have made."""
    for path in sorted(under.iterdir()):
        if path.is_dir():
            hidden = path.name.startswith(".") and path.name != ".ci"
            if not hidden and path.name not in ("__pycache__", "dist"):
                yield from files(*suffixes, under=path)
        elif not suffixes or path.suffix in suffixes:
            yield path


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# ------------------------------------------------------------------------------------------------------- what is not


def banned_in_python(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) for every construct that turns data into code, shell text or SQL text, or switches off a check."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
            for name in names:
                if name.split(".")[0] in ("pickle", "marshal", "shelve"):
                    yield node.lineno, f"import of {name}"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in ("eval", "exec", "yaml.load", "yaml.unsafe_load", "os.system", "os.popen"):
            yield node.lineno, called
        for keyword in node.keywords:
            setting = f"{keyword.arg}={ast.unparse(keyword.value)}"
            if setting in ("shell=True", "verify=False", "verify_ssl=False", "ssl=False", "check_hostname=False"):
                yield node.lineno, f"{called}({setting})"
        if called.endswith((".execute", ".executemany", ".executescript")) and node.args:
            text = ast.unparse(node.args[0])
            # A pragma takes no parameters: SQLite wants its value in the text.
            if isinstance(node.args[0], ast.JoinedStr | ast.BinOp | ast.Call) and "PRAGMA user_version = " not in text:
                yield node.lineno, f"{called} with composed SQL"


BANNED_IN_SCRIPTS = re.compile(
    r"\.(?:innerHTML|outerHTML)\b|insertAdjacentHTML|document\.write|\beval\(|new Function\(|setHTMLUnsafe"
)


@pytest.mark.parametrize("package", PRODUCT)
def test_no_code_builds_code_shell_or_sql_from_data(package: str) -> None:
    found = [
        f"{relative(path)}:{line}: {what}"
        for path in files(".py", under=ROOT / package)
        for line, what in banned_in_python(ast.parse(path.read_text("utf-8")))
    ]
    assert not found


def test_no_page_script_builds_markup_or_code_from_text() -> None:
    found = [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in files(".js", ".mjs", ".html", under=ROOT / "static")
        if VENDORED not in path.parents
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if BANNED_IN_SCRIPTS.search(line)
    ]
    assert not found


def test_no_page_loads_anything_from_elsewhere() -> None:
    elsewhere = re.compile(
        r"""(?:src|href|action)\s*=\s*["'](?:https?:)?//|url\(\s*["']?(?:https?:)?//|from ["']https?:"""
    )
    found = [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in files(".js", ".mjs", ".html", ".css", under=ROOT / "static")
        if VENDORED not in path.parents
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if elsewhere.search(line)
    ]
    assert not found


def test_no_file_names_a_place_on_one_machine_or_a_package_registry() -> None:
    # Written apart, so that this file does not find itself.
    places = ["/wo" + "rk/", "/ro" + "ot/", "/opt/" + "(?:wheels|pypi)", "/tmp/" + "v/"]
    registries = ["pypi" + r"\.org", "pythonhosted" + r"\.org", "npmjs" + r"\.(?:org|com)", "deb.debian" + r"\.org"]
    wrong = re.compile("|".join(places + registries))
    found = []
    for path in files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        found += [f"{relative(path)}: {match}" for match in wrong.findall(text)]
    assert not found


# --------------------------------------------------------------------------------------------------- what texts say


def test_every_link_in_the_docs_leads_to_a_file() -> None:
    dead = []
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *files(".md", under=ROOT / "docs")]:
        prose = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
        targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"[a-z]+:|#", target)]
        dead += [
            f"{relative(path)}: {target}" for target in targets if not (path.parent / target.split("#")[0]).exists()
        ]
    assert not dead


def test_every_make_command_in_the_docs_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    texts = [ROOT / "README.md", ROOT / ".ci" / "run", *files(".md", under=ROOT / "docs")]
    command = re.compile(r"(?:`|^\s*|exec )make ([a-z]+)", re.MULTILINE)
    named = {name for path in texts for name in command.findall(path.read_text("utf-8"))}
    assert {"run", "test"} <= named <= targets


def code_of(path: Path) -> list[str]:
    """What stands between backquotes: blocks and words."""
    text = path.read_text("utf-8")
    blocks = re.findall(r"```.*?```", text, flags=re.DOTALL)
    return blocks + re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


@pytest.mark.parametrize(("program", "main"), [("hbd", hbd_main), ("hbc", hbc_main)])
def test_every_command_in_the_readme_is_known(program: str, main: Callable[[list[str]], int]) -> None:
    verbs = set(re.findall(rf"\b{program} ([a-z][a-z-]+)\b", "".join(code_of(ROOT / "README.md"))))
    assert verbs
    for verb in verbs:
        with pytest.raises(SystemExit) as ended:
            main([verb, "--help"])
        assert ended.value.code == 0, verb


def test_ci_runs_the_test_command_of_everybody() -> None:
    assert (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1] == "exec make test"


# --------------------------------------------------------------------------------------------------- what is shipped


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_every_static_file(wheel: zipfile.ZipFile) -> None:
    assert {f"hbd/{relative(path)}" for path in files(under=ROOT / "static")} <= set(wheel.namelist())


def test_the_wheel_holds_every_migration(wheel: zipfile.ZipFile) -> None:
    assert {relative(path) for path in files(".sql", under=ROOT / "hbd")} <= set(wheel.namelist())


def test_the_wheel_holds_the_example_config_as_it_is(wheel: zipfile.ZipFile) -> None:
    assert wheel.read("hbd/config_example.yaml") == (ROOT / "config_example.yaml").read_bytes()


def test_the_wheel_installs_both_commands(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert {"hbd = hbd.cli:main", "hbc = hbc.cli:main"} <= set(wheel.read(entry_points).decode().splitlines())


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    assert {name.split("/")[0] for name in wheel.namelist()} == {*PRODUCT, f"hbd-{project()['version']}.dist-info"}


# ------------------------------------------------------------------------------------------------------ dependencies


def project() -> dict[str, typing.Any]:
    read = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return dict(read["project"])


def direct(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", line)[0].lower().replace("_", "-") for line in requirements}


def pinned(name: str) -> dict[str, int]:
    """Package to number of hashes. Every line must be a comment, a pin or a hash of the pin above."""
    pins: dict[str, int] = {}
    for line in (ROOT / "requirements" / name).read_text("utf-8").splitlines():
        if pin := re.fullmatch(r"([a-z0-9._-]+)==\S+( ; .*)? \\", line):
            pins[last := pin[1]] = 0
        elif re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line):
            pins[last] += 1
        else:
            assert line.startswith("#"), f"{name}: {line}"
    return pins


def test_every_dependency_is_pinned_with_hashes() -> None:
    pins = pinned("run.txt")
    assert direct(project()["dependencies"]) <= pins.keys() and all(pins.values())


def test_every_test_dependency_is_pinned_with_hashes() -> None:
    pins = pinned("test.txt")
    wanted = direct([*project()["dependencies"], *project()["optional-dependencies"]["test"]])
    assert wanted <= pins.keys() and all(pins.values())


def test_tests_run_with_the_versions_that_are_shipped() -> None:
    def versions(name: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (ROOT / "requirements" / name).read_text("utf-8"), re.MULTILINE))

    assert versions("run.txt") <= versions("test.txt")


def test_direct_dependencies_are_few() -> None:
    assert len(project()["dependencies"]) <= 14  # docs/decisions/0005-dependencies.md says what each is for


# -------------------------------------------------------------------------------------------------------- the wire


@pytest.mark.parametrize(
    "name",
    [
        *("Hello", "Proof", "Report", "Bye"),
        *("Offers", "Policy", "OfferedCommand", "OfferedRoot", "Started", "Output", "Result", "Unopened"),
    ],
)
def test_the_daemon_reads_the_frames_the_agent_writes(name: str) -> None:
    hints = typing.get_type_hints(getattr(wire, name), include_extras=True)
    written = {key: typing.get_origin(hint) is not typing.NotRequired for key, hint in hints.items() if key != "type"}
    struct = getattr(agent_frames, name, None) or getattr(frames, name)
    read = {field.encode_name: field.required for field in msgspec.structs.fields(struct)}
    assert read.keys() == written.keys()
    assert {key for key, required in read.items() if required} <= {key for key, always in written.items() if always}
