"""The kinds of streams, and what the host's policy says to each. Everything here blocks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from hbc import policy as policies
from hbc.commands.plan import Denied
from hbc.files.beneath import Beneath, Refusal, Root
from hbc.files.transfers import Download, Listed, Upload, arrived, listing
from hbc.policy import Policy
from hbc.streams import Talk
from hbc.tail.events import Tail
from hbc.tail.file import FileTail
from hbc.tail.journal import JournalTail
from hbc.talks import DownloadTalk, LogTalk, UploadTalk, arrived_talk, listing_talk

MEGABYTE = 1 << 20
MOST_LINES = 1_000  # of a log's past

Params = dict[str, Any]


class Kinds:
    """An ``hbc.streams.Opener`` for one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        protected = [str(path) for path in policy.protected]
        self._files = Beneath(_roots(policy.roots), protected)
        self._logs = Beneath(_roots(policy.log_roots), protected)
        self._kinds: dict[str, Callable[[Params], Talk]] = {
            "logs": self._log,
            "download": self._download,
            "upload": self._upload,
            "arrived": self._arrived,
            "list": self._list,
        }

    def __call__(self, kind: str, params: Params) -> Talk:
        """Raises Refusal."""
        opener = self._kinds.get(kind)
        if opener is None:
            raise Refusal("failed", f"this agent knows no streams of the kind {kind[:40]!r}")
        try:
            return opener(params)
        except Denied as denied:
            raise Refusal("denied", str(denied)) from None
        except UnicodeError:
            raise Refusal("denied", "there are characters that no file can be called by") from None

    def _log(self, params: Params) -> Talk:
        lines = min(_number(params, "lines"), MOST_LINES)
        after = _text(params, "after", "")
        tail: Tail
        if _text(params, "source") == "journald":
            tail = JournalTail(self._policy.log_unit(_text(params, "unit")), lines=lines, after=after)
        else:
            path = _text(params, "path")
            self._policy.log_path(path)
            tail = FileTail(lambda: self._logs.file(path), lines=lines, after=after, now=time.monotonic())
        return LogTalk(tail)

    def _download(self, params: Params) -> Talk:
        path = _text(params, "path")
        self._policy.file(path)
        return DownloadTalk(Download(self._files, path, self._policy.limits.download_mb * MEGABYTE))

    def _upload(self, params: Params) -> Talk:
        dest, name = _text(params, "dest"), _text(params, "name", "")
        self._policy.file(dest, write=True)
        most = self._policy.limits.upload_mb * MEGABYTE
        size = _number(params, "size")
        if size > most:
            raise Refusal("large", f"{size} bytes are more than this host takes ({most})")
        offset, key = _number(params, "offset"), _text(params, "key", "")
        return UploadTalk(Upload(self._files, dest, name=name, key=key, offset=offset, most=most))

    def _arrived(self, params: Params) -> Talk:
        dest = _text(params, "dest")
        self._policy.file(dest, write=True)
        return arrived_talk(arrived(self._files, dest, _text(params, "key")))

    def _list(self, params: Params) -> Talk:
        if not (path := _text(params, "path", "")):
            return listing_talk(self._listed_roots(), truncated=False, writable=False)
        self._policy.file(path)
        entries, truncated, writable = listing(self._files, path)
        return listing_talk(entries, truncated=truncated, writable=writable)

    def _listed_roots(self) -> list[Listed]:
        """The allowed folders, by their whole paths."""
        return [Listed(name=root.path, type="folder", size=0, modified=0, mode="") for root in self._files.roots]


def _roots(roots: Iterable[policies.Root]) -> list[Root]:
    return [Root(os.fspath(root.path), root.writable) for root in roots]


def _text(params: Params, name: str, default: str | None = None) -> str:
    value = params.get(name, default)
    if not isinstance(value, str):
        raise Refusal("failed", f"{name}: a text is needed")
    return value


def _number(params: Params, name: str) -> int:
    value = params.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Refusal("failed", f"{name}: a whole number from 0 on is needed")
    return value
