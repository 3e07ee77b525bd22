"""What a host says of one plugin piece by piece, put together. Pure: the time is passed in.

Some senders report processor and load in one write each, and they are metrics of one plugin. A sample has all that is
known of its plugin, as what is missing in it counts as gone; so each sample has the newest of every piece that still
comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hbd.model import Data

MOST_PIECES = 2_000  # of one host
MOST_METRICS = 2_000  # in one sample; of what is more the oldest pieces are left out
KEPT_SECONDS = 180.0  # a piece of which there was one so far
GAPS_KEPT = 3  # otherwise: times the seconds between the last two
LONGEST_KEPT = 3 * 3600.0


class _Piece(NamedTuple):
    data: Data
    at: float
    until: float


class Pieces:
    def __init__(self) -> None:
        self._hosts: dict[int, dict[str, dict[str, _Piece]]] = {}

    def put(self, host_id: int, plugin: str, piece: str, data: Data, at: float, keep: float | None = None) -> bool:
        """Take a piece; False when there is a newer one, or no room. piece: names it. at: Unix seconds.

        keep: seconds until it counts no more unless it comes again; None: as long as its like usually comes.
        """
        plugins = self._hosts.setdefault(host_id, {})
        pieces = plugins.setdefault(plugin, {})
        before = pieces.get(piece)
        if before is None:
            if not self._has_room(plugins, at):
                return False
            gap = KEPT_SECONDS / GAPS_KEPT
        elif at < before.at:
            return False
        else:
            gap = at - before.at or (before.until - before.at) / GAPS_KEPT
        span = min(max(GAPS_KEPT * gap, KEPT_SECONDS), LONGEST_KEPT) if keep is None else keep
        pieces[piece] = _Piece(data, at, at + span)
        return True

    @staticmethod
    def _has_room(plugins: dict[str, dict[str, _Piece]], at: float) -> bool:
        if sum(map(len, plugins.values())) < MOST_PIECES:
            return True
        for name, pieces in list(plugins.items()):
            for piece in [piece for piece, known in pieces.items() if known.until < at]:
                del pieces[piece]
            if not pieces:
                del plugins[name]
        return sum(map(len, plugins.values())) < MOST_PIECES

    def knows(self, host_id: int, plugin: str) -> bool:
        return bool(self._hosts.get(host_id, {}).get(plugin))

    def whole(self, host_id: int, plugin: str, at: float) -> Data:
        """All that is known of a plugin at that time; of what several pieces say the newest counts."""
        pieces = self._hosts.get(host_id, {}).get(plugin, {})
        for name in [name for name, piece in pieces.items() if piece.until < at]:
            del pieces[name]
        chosen: list[_Piece] = []
        room = MOST_METRICS
        for piece in sorted(pieces.values(), key=_age, reverse=True):
            room -= sum(len(value) if isinstance(value, dict) else 1 for value in piece.data.values())
            if room < 0:
                break
            if piece.at <= at:
                chosen.append(piece)
        data: Data = {}
        for piece in reversed(chosen):
            merge(data, piece.data)
        return data

    def forget(self, host_id: int) -> None:
        """The host is gone."""
        self._hosts.pop(host_id, None)


def merge(into: Data, more: Mapping[str, object]) -> None:
    """Lay metrics over others, in place; those of one key are laid over each other."""
    for name, value in more.items():
        known = into.get(name)
        into[name] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value


def _age(piece: _Piece) -> float:
    return piece.at
