"""How often somebody may fail to sign in. Pure: time is passed in, in seconds of a clock that never steps."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from hbd import addresses
from hbd.model import LONGEST_USER_NAME

FAMILIAR = 20  # addresses an account remembers


class Failure(NamedTuple):
    at: float
    account: str
    address: str


class _Failures:
    """The latest failures of each of many keys, oldest first.

    At most ``room`` keys are kept. For a new one another goes: one whose last failure is out of the window, else one
    with the fewest failures, of these the oldest. So whoever wants to make a counter that is nearly full forgotten,
    to guess on, must fill ``room`` others as far before: that takes ``room`` times the guesses that it wins.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._logs: dict[Hashable, list[Failure]] = {}
        self._by_length: dict[int, OrderedDict[Hashable, None]] = {}

    def __len__(self) -> int:
        return len(self._logs)

    def of(self, key: Hashable) -> Sequence[Failure]:
        return self._logs.get(key, ())

    def add(self, key: Hashable, failure: Failure, limit: int, since: float) -> None:
        """limit: how many are kept of a key. since: when the window begins."""
        log = [*self._take(key), failure][-limit:]
        if len(self._logs) >= self._room:
            self._drop_one(since)
        self._put(key, log)

    def take_back(self, key: Hashable, account: str, address: str) -> None:
        self._put(key, [failure for failure in self._take(key) if failure[1:] != (account, address)])

    def _take(self, key: Hashable) -> list[Failure]:
        log = self._logs.pop(key, [])
        if log:
            del self._by_length[len(log)][key]
        return log

    def _put(self, key: Hashable, log: list[Failure]) -> None:
        if log:
            self._logs[key] = log
            self._by_length.setdefault(len(log), OrderedDict())[key] = None

    def _drop_one(self, since: float) -> None:
        oldest = [next(iter(keys)) for _, keys in sorted(self._by_length.items()) if keys]
        expired = (key for key in oldest if self._logs[key][-1].at <= since)
        self._take(next(expired, oldest[0]))


class Attempts:
    """Who has to wait before trying again to sign in.

    A limit is full while as many failures as it allows lie less than ``window`` seconds back. There is one for each

    - account, whether it exists or not, over all addresses which are not familiar to it: ``per_account``;
    - account and address familiar to it, one from which somebody signed in to it before: ``per_account``. So nobody
      elsewhere can lock out those whose account it is;
    - address, over all accounts: ``per_address``.

    A success takes back the failures of this account from this address, and nothing else: signing in to an account of
    one's own wins no guesses at another. Accounts are told apart without regard to case, addresses by
    ``addresses.key``. Attempts that were made to wait are no failures: they do not make the wait longer.
    """

    def __init__(
        self, per_account: int = 10, per_address: int = 20, window: float = 900.0, *, room: int = 10_000
    ) -> None:
        """per_account, per_address: 1 or more. room: accounts, and addresses, whose failures are kept."""
        self.configure(per_account, per_address, window)
        self._accounts = _Failures(room)
        self._owners = _Failures(room)
        self._addresses = _Failures(room)
        self._familiar: dict[str, OrderedDict[str, None]] = {}
        """account → the addresses that are familiar to it; that of the last success is the last"""

    def configure(self, per_account: int, per_address: int, window: float) -> None:
        """Set the limits. Failures so far count on, as many of each as the former limit was."""
        self._per_account, self._per_address, self._window = per_account, per_address, window

    def wait(self, account: str, address: str, now: float) -> float:
        """Seconds until another attempt may be made, 0.0 when it may be made now, whatever the password."""
        counters = self._counters(_name(account), addresses.key(address))
        return max(self._until_free(failures.of(key), limit, now) for failures, key, limit in counters)

    def failed(self, account: str, address: str, now: float) -> bool:
        """Count a failure. True when this one filled a limit that was not full."""
        failure = Failure(now, _name(account), addresses.key(address))
        filled = False
        for failures, key, limit in self._counters(failure.account, failure.address):
            was_full = self._until_free(failures.of(key), limit, now) > 0
            failures.add(key, failure, limit, now - self._window)
            filled |= not was_full and self._until_free(failures.of(key), limit, now) > 0
        return filled

    def succeeded(self, account: str, address: str) -> None:
        """Somebody has signed in, now or, for a session that is read at the start, earlier."""
        name, place = _name(account), addresses.key(address)
        self._accounts.take_back(name, name, place)
        self._owners.take_back((name, place), name, place)
        self._addresses.take_back(place, name, place)
        familiar = self._familiar.setdefault(name, OrderedDict())
        familiar[place] = None
        familiar.move_to_end(place)
        if len(familiar) > FAMILIAR:
            familiar.popitem(last=False)

    def _counters(self, name: str, place: str) -> list[tuple[_Failures, Hashable, int]]:
        """What counts attempts at an account from an address: the failures, whose, and their limit."""
        familiar = place in self._familiar.get(name, ())
        return [
            (self._owners, (name, place), self._per_account) if familiar else (self._accounts, name, self._per_account),
            (self._addresses, place, self._per_address),
        ]

    def _until_free(self, log: Sequence[Failure], limit: int, now: float) -> float:
        return max(0.0, log[-limit].at + self._window - now) if len(log) >= limit else 0.0


def _name(account: str) -> str:
    return account[:LONGEST_USER_NAME].lower()
