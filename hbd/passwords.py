"""Passwords: which may be set, and their bcrypt hashes, made and checked in threads beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import sys
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from hbd import addresses
from hbd.errors import Busy, InvalidInput

log = logging.getLogger(__name__)

MAX_BYTES = 72  # what bcrypt looks at
NICENESS = 10  # of the threads that hash
COSTS = range(4, 32)  # what bcrypt knows; each costs twice the time of the one before

# Normalising takes time by the square of a text's length in the worst case, and nothing this long gets under 72 bytes.
_MAX_NORMALISED = 1024

Line = tuple[str, str]
"""("account", name) or ("address", key)"""

T = TypeVar("T")


def check_new(password: str, least: int, field: str = "password") -> str:
    """The password in the form that is hashed, when it may be set. least: characters it must have.

    Raises InvalidInput for ``field`` with the reason.
    """
    _encoded(password, field)
    normal = _normalised(password)
    if any(unicodedata.category(character) == "Cc" for character in normal):
        raise InvalidInput("must hold no control characters such as tabs and line breaks", field)
    if not normal:
        raise InvalidInput("must not be empty", field)
    if len(normal) < least:
        raise InvalidInput(f"at least {least} characters; this one has {len(normal)}", field)
    return normal


def cost(hashed: bytes) -> int:
    """The cost a bcrypt hash was made with; 0 when it is none."""
    digits = hashed[4:6]
    return int(digits) if hashed[:2] == b"$2" and digits.isdigit() else 0


def _normalised(password: str) -> str:
    # The same letters may come composed or decomposed, as the keyboard and the system have it.
    return unicodedata.normalize("NFC", password) if len(password) <= _MAX_NORMALISED else password


def _encoded(password: str, field: str = "password") -> bytes:
    """What bcrypt gets. Raises InvalidInput for what bcrypt would refuse, cut, or take for something else."""
    try:
        encoded = _normalised(password).encode()
    except UnicodeEncodeError:
        raise InvalidInput("must be text; this one holds half a character", field) from None
    if len(encoded) > MAX_BYTES:
        raise InvalidInput(f"at most {MAX_BYTES} bytes; this one has {len(encoded)}", field)
    if 0 in encoded:
        raise InvalidInput("must hold no NUL character", field)
    return encoded


def _hash(password: bytes, rounds: int) -> bytes:
    return bcrypt.hashpw(password, bcrypt.gensalt(rounds))


def _check(password: bytes, hashed: bytes | None, dummy: bytes) -> bool:
    """Takes as long for a hash that is missing or of no use as for the dummy's cost."""
    if hashed is not None:
        try:
            return bcrypt.checkpw(password, hashed)
        except ValueError:
            log.warning("A user's password hash is of no use: it is not of bcrypt")
    bcrypt.checkpw(password, dummy)
    return False


def _step_back() -> None:
    """Have this thread run after the event loop where both want the same processor; Linux can tell threads apart."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


class Passwords:
    """Makes and checks hashes, a few at a time, in the order in which they were asked for.

    workers: how many at a time; by default half of the processors, for bcrypt runs outside the interpreter's lock and
    would take them all. waiting: how many more may be asked for before ``Busy`` is raised; of_account, of_address: how
    many of these may be checks of one account, and from one address. rounds: cost of new hashes.
    """

    def __init__(
        self,
        workers: int | None = None,
        waiting: int = 64,
        rounds: int = 12,
        *,
        of_account: int = 16,
        of_address: int = 32,
    ) -> None:
        workers = workers or max(1, (os.cpu_count() or 1) // 2)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="passwords", initializer=_step_back)
        self._free = asyncio.Semaphore(workers)
        self._waiting = 0
        self._room = waiting
        self._of_account, self._of_address = of_account, of_address
        self._waiting_for: Counter[Line] = Counter()
        self._rounds = rounds
        self._secret = secrets.token_bytes(32)
        self._dummies: dict[int, bytes] = {}
        self.learn([])

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return self._waiting

    def learn(self, costs: Iterable[int]) -> None:
        """The costs of the hashes that all known users have; what is no cost is passed over.

        A name nobody has is given one of them, so that it takes as long as some user's.
        """
        known = set(costs).intersection(COSTS) or {self._rounds}
        # Any hash with a valid salt does: what it is a hash of is never asked.
        self._dummies = {each: bcrypt.gensalt(each) + b"." * 31 for each in known}

    async def hash(self, password: str) -> bytes:
        """The bcrypt hash of a password. Raises InvalidInput for one that cannot be hashed, Busy without room."""
        return await self._in_turn(_hash, _encoded(password), self._rounds)

    async def check(
        self,
        password: str,
        hashed: bytes | None,
        *,
        name: str = "",
        address: str = "",
        first: Callable[[], None] | None = None,
    ) -> bool:
        """Whether password is the one that was hashed. hashed None: there is no such user, or one without password.

        name: whose it is said to be, address: where it comes from; "" where nobody is to be told apart. first: is
        called when the turn has come, right before anything is hashed, and may raise to prevent it. Whoever awaits a
        check goes on before ``first`` of the next one is called: a failure that is counted at once is known to all
        checks that have not begun.

        Raises InvalidInput, whosever it is, for a password that nobody can have; Busy without room. A check that is
        cancelled after it began keeps its place until the thread is done.
        """
        lines = [
            *([(("account", name.lower()), self._of_account)] if name else []),
            *([(("address", addresses.key(address)), self._of_address)] if address else []),
        ]
        return await self._in_turn(_check, _encoded(password), hashed, self._dummy(name), first=first, lines=lines)

    def close(self) -> None:
        """What runs comes to its end, nothing more is begun."""
        self._pool.shutdown(wait=False)

    def _dummy(self, name: str) -> bytes:
        # Always the same for one name, and nobody outside can tell which; a new cost moves only the names that get it.
        def weight(cost: int) -> bytes:
            return hmac.digest(self._secret, f"{cost} {name.lower()}".encode("utf-8", "surrogatepass"), "sha256")

        return self._dummies[max(self._dummies, key=weight)]

    async def _in_turn(
        self,
        job: Callable[..., T],
        *args: object,
        first: Callable[[], None] | None = None,
        lines: Sequence[tuple[Line, int]] = (),
    ) -> T:
        """lines: in which it waits too, each with how many may stand in it."""
        full = self._waiting >= self._room or any(self._waiting_for[line] >= most for line, most in lines)
        if self._free.locked() and full:
            raise Busy("Too many passwords are being checked; try again in a moment")
        own = Counter(line for line, _ in lines)
        self._waiting += 1
        self._waiting_for += own
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
            self._waiting_for -= own
        try:
            if first is not None:
                first()
            running = asyncio.get_running_loop().run_in_executor(self._pool, job, *args)
        except BaseException:
            self._free.release()
            raise
        try:
            return await asyncio.shield(running)
        finally:
            if running.done():
                self._free.release()
            else:
                running.add_done_callback(lambda _: self._free.release())
