"""Plugins from Python files of the user's own."""

from __future__ import annotations

import importlib.util
import os
import re
import stat
import sys
import traceback
from collections.abc import Iterable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

from hbc.plugins import PLUGINS
from hbc.plugins.base import Plugin

PLUGIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def load(folders: Iterable[str | Path]) -> tuple[dict[str, type[Plugin]], list[str]]:
    """Name to class of the plugins in these folders, and what is wrong with the others, one line each:
    ``plugin_dirs[0]: file or folder: reason``, the number being the folder's place.

    Every ``*.py`` file whose name does not begin with ``_`` or ``.`` is run, as the user the agent runs as; so
    a file or folder that somebody else could write to is refused.
    """
    found: dict[str, type[Plugin]] = {}
    problems: list[str] = []
    for index, folder in enumerate(map(Path, folders)):
        place = f"plugin_dirs[{index}]"
        try:
            files = sorted(path for path in folder.iterdir() if path.suffix == ".py" and path.name[0] not in "._")
            unsafe = _unsafe(folder)
        except OSError as problem:
            problems.append(f"{place}: {folder}: cannot be read: {problem.strerror}")
            continue
        if unsafe:
            problems.append(f"{place}: {unsafe}")
            continue
        for path in files:
            try:
                for plugin in _plugins_in(path):
                    _check_name(plugin, found)
                    found[plugin.name] = plugin
            except _Refused as refusal:
                named = str(refusal).startswith(str(path))
                problems.append(f"{place}: {refusal}" if named else f"{place}: {path}: {refusal}")
    return found, problems


class _Uncached(SourceFileLoader):
    """Runs the file that was looked at, not what lies in a ``__pycache__`` beside it."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


class _Refused(Exception):
    """Why a file is no plugin."""


def _unsafe(path: Path) -> str | None:
    """Why path may hold what a stranger wrote, or None. Raises OSError."""
    about = path.stat()
    if about.st_uid not in (0, os.geteuid()):
        return f"{path}: not used: it belongs to user {about.st_uid}, not to root or the user that the agent runs as"
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{path}: not used: others than its owner can write to it; do `chmod go-w {path}`"
    return None


def _plugins_in(path: Path) -> list[type[Plugin]]:
    """The plugins that a file defines itself. Raises _Refused."""
    try:
        real = path.resolve(strict=True)
        unsafe = _unsafe(real) or _unsafe(real.parent)
    except OSError as problem:
        raise _Refused(f"cannot be read: {problem.strerror}") from None
    if unsafe:
        raise _Refused(unsafe)
    loader = _Uncached(f"hbc_custom_{path.stem}", str(real))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module  # dataclasses look their module up there
    try:
        loader.exec_module(module)
    # A rim: a stranger's file may raise anything, SystemExit included.
    except (Exception, SystemExit) as problem:
        del sys.modules[loader.name]
        raise _Refused(f"{path}:{_line(problem, str(real))}: {type(problem).__name__}: {problem}") from None
    plugins = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Plugin) and value.__module__ == module.__name__
    ]
    if not plugins:
        raise _Refused("holds no class that is a hbc.plugins.base.Plugin")
    return plugins


def _line(problem: BaseException, file: str) -> int:
    """The last line of the file that led to the problem."""
    if isinstance(problem, SyntaxError) and problem.lineno:
        return problem.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == file]
    return (lines and lines[-1]) or 1


def _check_name(plugin: type[Plugin], others: dict[str, type[Plugin]]) -> None:
    name = getattr(plugin, "name", None)
    if not isinstance(name, str) or not PLUGIN_NAME.fullmatch(name):
        raise _Refused(f"{plugin.__name__}.name: {name!r} is no name; 1-64 letters, digits, _ and - can be used")
    if name in PLUGINS:
        raise _Refused(f"{plugin.__name__}.name: {name} is the name of a built-in plugin")
    if name in others:
        raise _Refused(f"{plugin.__name__}.name: another file has a plugin {name} already")
    if plugin.collect is Plugin.collect:
        raise _Refused(f"{plugin.__name__} has no collect method")
    if not isinstance(getattr(plugin, "summary", None), str):
        plugin.summary = (plugin.__doc__ or "").strip().partition("\n")[0]
