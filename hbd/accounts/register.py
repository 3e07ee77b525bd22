"""Users, sessions and API tokens as they change. What is changed is on disk, with its audit entry, before it counts.

Users come from the config, from the store (made here or by the command line), or from outside (single sign-on, a
proxy).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol

import msgspec

from hbd.accounts.keys import Keys
from hbd.accounts.known import Known
from hbd.accounts.model import (
    SESSION_PREFIX,
    TOKEN_PREFIX,
    ApiToken,
    Method,
    Outsider,
    Session,
    User,
    new_token,
    token_hash,
)
from hbd.accounts.outsiders import account_of, news
from hbd.accounts.overlay import changed, configured, copied, stored, user_of
from hbd.config import Config
from hbd.errors import Conflict, InvalidInput, NotFound
from hbd.model import USER_NAME_RULE, is_user_name
from hbd.store import Store
from hbd.store.accounts import AccessRow, UserRow
from hbd.store.audit import Entry

log = logging.getLogger(__name__)

START_LENGTH = 10  # so much of an API token is shown, to know it again
SESSIONS_PER_USER = 500  # a script that signs in every minute makes 1,440 a day: the least used go
TOKENS_PER_USER = 100
MAX_USERS = 10_000
SETUP_DONE = "setup_done"

Stays = Callable[[str], bool]
"""Whether a name still means whom it meant before"""
Leave = Callable[[Stays], Sequence[AccessRow]]
"""What becomes of the rights on hosts"""


class Rights(Protocol):
    """Rights on hosts that were given here. As long as there are no users, they may name anybody."""

    def left(self, stays: Stays) -> Sequence[AccessRow]:
        """What becomes of those that are not as they were when only these names stay."""

    def took(self, rows: Iterable[AccessRow]) -> None:
        """These are written."""


def _nothing(_: Stays) -> Sequence[AccessRow]:
    return ()


class Accounts(Known):
    def __init__(self, config: Config, store: Store) -> None:
        """changed: called after users, sessions or tokens went or mean something else than before."""
        super().__init__(config)
        self.changed: list[Callable[[], None]] = []
        self._store = store.accounts
        self._changing = asyncio.Lock()
        self.rights: Rights | None = None

    # ------------------------------------------------------------------------------------------------------- config

    async def load(self, now: float, leave: Leave = _nothing) -> None:
        """Know everybody of the config and the store. leave: as for ``configure``. Raises StorageError."""
        self._rows = {row.id: row for row in await self._store.users()}
        self._sessions = Keys(Session(**row._asdict()) for row in await self._store.sessions())
        self._tokens = Keys(ApiToken(**row._asdict()) for row in await self._store.tokens())
        self.setup_done = await self._store.flag(SETUP_DONE)
        await self.configure(self._config, now, leave)
        await self.save_uses(now)

    async def configure(self, config: Config, now: float, leave: Leave = _nothing) -> None:
        """Take the users of a config: new ones come, those it no longer has go with all that is theirs.

        Whose name the config takes over goes too: the config's user starts with nothing. Who has another password
        than before is signed out. leave: its rows are written in the same transaction. Nobody is told: once the
        config is in force everywhere, call ``tell``. Raises StorageError, with everything as it was.
        """
        async with self._changing:
            of_config = {row.name.lower(): row for row in self._rows.values() if row.source == "config"}
            fresh = [configured(config, name, of_config.pop(name.lower(), None), now) for name in config.users]
            taken = {name.lower() for name in config.users}
            replaced = [row for row in self._rows.values() if row.source != "config" and row.name.lower() in taken]
            gone = [*of_config.values(), *replaced]
            entries = [_left_entry(row, now) for row in gone]
            written = [row for row in fresh if row != self._rows.get(row.id)]
            other = [row.id for row in written if row.id and row.password != self._rows[row.id].password]
            over = [session for user_id in other for session in self._sessions.of(user_id)]
            left = [row.id for row in gone]
            stay = {row.id: row for row in self._rows.values() if row.id not in set(left)}
            access = leave(_staying(gone, [*stay.values(), *fresh]))
            flag = SETUP_DONE if fresh and not self.setup_done else None
            if written or gone or access or flag:
                ended = [session.id for session in over]
                await self._store.save(written, *entries, ended=ended, gone=left, access=access, flag=flag)
            self.setup_done = self.setup_done or bool(fresh)
            self._sessions.drop(over)
            self._rebuild(config, [*(stay | {row.id: row for row in fresh}).values()])
        for row in replaced:
            log.warning(
                "user %s (%s) made room for the user of that name in the config: its sessions, API tokens, "
                "second factor and rights on hosts are gone",
                row.name,
                row.source,
            )

    @asynccontextmanager
    async def unchanged(self) -> AsyncIterator[None]:
        """As long as the block runs nobody comes or goes."""
        async with self._changing:
            yield

    @asynccontextmanager
    async def rewriting(self) -> AsyncIterator[None]:
        """Nobody comes or goes otherwise while the block writes users; then they are what is on disk.

        Nobody is told: once all is in force, call ``tell``. Raises StorageError.
        """
        async with self._changing:
            yield
            rows, self.setup_done = await self._store.users(), await self._store.flag(SETUP_DONE)
            sessions = {row.id for row in await self._store.sessions()}
            tokens = {row.id for row in await self._store.tokens()}
            self._sessions.drop([session for session in self._sessions if session.id not in sessions])
            self._tokens.drop([token for token in self._tokens if token.id not in tokens])
            self._rebuild(self._config, rows)

    async def save_uses(self, now: float) -> None:
        """Write down what was used, and forget sessions that are over. Raises StorageError."""
        used, self._used = self._used, set()
        if used:
            sessions = [key.row() for key in used if isinstance(key, Session) and key in self._sessions]
            await self._store.save_uses(sessions, [key.row() for key in used if isinstance(key, ApiToken)])
        over = [session for session in self._sessions if now >= session.expires]
        if over:
            await self._store.end_sessions(session.id for session in over)
            self._sessions.drop(over)

    def tell(self) -> None:
        """Have everybody who listens look again."""
        for listener in self.changed:
            listener()

    # --------------------------------------------------------------------------------------------------- signing in

    async def sign_in(
        self, user: User, method: Method, entry: Entry, *, address: str, user_agent: str, **fields: Any
    ) -> str:
        """Begin a session; returns its token, which is shown only now. fields: totp_step or recovery, changed with it.

        Raises Conflict when what the user signs in with is not what it was when it was looked at.
        """
        async with self._changing:
            self._require_same(user)
            row = copied(self._rows[user.id], last_login=entry.time, **stored(fields))
            return await self._begin(row, method, entry, address, user_agent)

    async def set_up(self, name: str, hashed: bytes, entry: Entry, *, address: str, user_agent: str) -> str:
        """Make the first user, an admin, and sign it in. Raises Conflict once there was one."""
        async with self._changing:
            if self.setup_done:
                raise Conflict("The first user was set up already")
            _require_name(name)
            row = UserRow(name=name, source="local", role="admin", password=hashed.decode(), created=entry.time)
            row.last_login = entry.time
            token = await self._begin(row, "setup", entry, address, user_agent)
        self.tell()
        return token

    async def _begin(self, row: UserRow, method: Method, entry: Entry, address: str, user_agent: str) -> str:
        token = new_token(SESSION_PREFIX)
        session = Session(
            id=0,
            user_id=row.id,
            hash=token_hash(token),
            created=entry.time,
            expires=entry.time + self._config.auth.session,
            last_used=entry.time,
            address=address,
            user_agent=user_agent[:200],
            method=method,
        )
        known = sorted(self._sessions.of(row.id), key=lambda session: session.last_used)
        over = known[: max(0, len(known) - SESSIONS_PER_USER + 1)]
        flag = None if self.setup_done else SETUP_DONE
        ended = [session.id for session in over]
        access = self._with_first(row)
        session.id, session.user_id = await self._store.sign_in(
            session.row(), row, entry, ended=ended, access=access, flag=flag
        )
        self._took(access)
        self.setup_done = True
        self._sessions.drop(over)
        self._put(row)
        self._sessions.add(session)
        return token

    async def end(self, sessions: Iterable[Session], *entries: Entry) -> None:
        """End sessions, and what is open with them."""
        ending = list(sessions)
        await self._store.end_sessions([session.id for session in ending], *entries)
        self._sessions.drop(ending)
        self.tell()

    # -------------------------------------------------------------------------------------------------------- users

    async def add(self, name: str, entry: Entry, *, password: bytes | None = None, **fields: Any) -> User:
        """Make a user. fields: full_name, avatar, role, channels. Raises InvalidInput, Conflict."""
        async with self._changing:
            _require_name(name)
            if (known := self.get(name)) is not None:
                raise Conflict(f"There is a user '{known.name}' already")
            hashed = password.decode() if password else None
            row = UserRow(name=name, source="local", password=hashed, created=entry.time, **stored(fields))
            user = await self._made(row, entry)
        self.tell()
        return user

    async def change(
        self,
        user: User,
        fields: dict[str, Any],
        *entries: Entry,
        keep: Session | None = None,
        sign_out: bool = False,
        revoke: bool = False,
        expecting: User | None = None,
    ) -> User:
        """Change fields of a user: full_name, avatar, role, enabled, channels, password (bytes or None), totp,
        totp_step, recovery, last_login.

        sign_out: all its sessions end, but for ``keep``, with which whoever asks is signed in. revoke: its API tokens
        end too. expecting: the user as it was when somebody proved to be it.
        Raises Conflict when nobody would be admin any more, when ``keep`` has ended meanwhile, and when ``expecting``
        signs in otherwise than now; NotFound when the user has gone meanwhile.
        """
        async with self._changing:
            known = self._require_still(user)
            if expecting is not None:
                self._require_same(expecting)
            if keep is not None and keep not in self._sessions:
                raise Conflict("You were signed out just now; sign in again")
            row = changed(self._config, self._rows[user.id], fields)
            self._require_admin_after(user_of(self._config, row), known)
            ending = [s for s in self._sessions.of(user.id) if s is not keep] if sign_out else []
            revoked = self._tokens.of(user.id) if revoke else []
            ended = [session.id for session in ending]
            await self._store.save([row], *entries, ended=ended, revoked=[token.id for token in revoked])
            self._sessions.drop(ending)
            self._tokens.drop(revoked)
            fresh = self._put(row)
        self.tell()
        return fresh

    async def delete(self, user: User, access: Sequence[AccessRow], *entries: Entry) -> None:
        """Delete a user with all its sessions and tokens. access: what becomes of the hosts it could reach.

        Raises Conflict for the last admin and for a user of the config, NotFound when the user has gone meanwhile.
        """
        async with self._changing:
            known = self._require_still(user)
            if known.source == "config":
                raise Conflict(f"User '{known.name}' is in the config file; take it out there, or disable it here")
            self._require_admin_after(None, known)
            await self._store.save([], *entries, gone=[known.id], access=access)
            self._remove(known)
        self.tell()

    async def _made(self, row: UserRow, entry: Entry) -> User:
        if len(self) >= MAX_USERS:
            raise Conflict(f"The limit of {MAX_USERS} users is reached")
        access = self._with_first(row)
        await self._store.save([row], entry, access=access, flag=SETUP_DONE)
        self._took(access)
        self.setup_done = True
        return self._put(row)

    def _with_first(self, row: UserRow) -> Sequence[AccessRow]:
        """What becomes of rights on hosts when this user comes: the first one finds none of names that nobody has."""
        if self.rights is None or len(self):
            return ()
        first = row.name.lower()
        return self.rights.left(lambda name: name.lower() == first)

    def _took(self, access: Sequence[AccessRow]) -> None:
        if self.rights is not None:
            self.rights.took(access)

    # ------------------------------------------------------------------------------------------------- from outside

    async def admit(self, person: Outsider, entry: Entry, *, link: bool = False) -> User:
        """The account of somebody from outside, made or brought up to date. link: it may be one that exists here,
        which from then on belongs to this subject of the provider.

        Its role is what is said outside, also when that leaves nobody admin; that of a linked account is decided here.
        Raises Conflict when the name belongs to somebody else, InvalidInput when it cannot be a name.
        """
        known = account_of(person, self._by_id.values(), self.get(person.name), link=link)
        if known is not None and not news(person, known):
            return known  # as a rule, for each request that a proxy vouches for
        async with self._changing:
            known = account_of(person, self._by_id.values(), self.get(person.name), link=link)
            if known is None:
                _require_name(person.name)
                row = UserRow(name=person.name, source=person.source, subject=person.subject, created=entry.time)
                row.full_name, row.role = person.full_name, person.role.value
                user = await self._made(row, entry)
            elif told_anew := news(person, known):
                if "subject" in told_anew:
                    told = f"by single sign-on, as {person.name}"
                    entry = msgspec.structs.replace(entry, action="user.link", object=f"user {known.name}", detail=told)
                row = changed(self._config, self._rows[known.id], told_anew)
                await self._store.save([row], entry)
                user = self._put(row)
            else:
                return known
        self.tell()
        return user

    # ------------------------------------------------------------------------------------------------------- tokens

    async def add_token(
        self,
        user: User,
        name: str,
        entry: Entry,
        *,
        scope: Literal["read", "write"],
        hosts: tuple[str, ...] | None,
        expires: float | None,
    ) -> tuple[ApiToken, str]:
        """Make an API token; returns it with its text, which is shown only now.

        Raises Conflict, InvalidInput, and NotFound when the user has gone meanwhile.
        """
        if hosts is not None and not hosts:
            raise InvalidInput("name the hosts, or leave it out for all of them", "hosts")
        async with self._changing:
            self._require_still(user)
            if self._tokens.count(user.id) >= TOKENS_PER_USER:
                raise Conflict(f"The limit of {TOKENS_PER_USER} tokens is reached; revoke one that is not used")
            text = new_token(TOKEN_PREFIX)
            made = ApiToken(
                id=0,
                user_id=user.id,
                hash=token_hash(text),
                name=name,
                start=text[:START_LENGTH],
                scope=scope,
                hosts=hosts,
                created=entry.time,
                expires=expires,
                last_used=None,
                last_address=None,
            )
            made.id = await self._store.add_token(made.row(), entry)
            self._tokens.add(made)
        return made, text

    async def delete_token(self, token: ApiToken, entry: Entry) -> None:
        await self._store.delete_tokens([token.id], entry)
        self._tokens.drop([token])
        self.tell()

    # ----------------------------------------------------------------------------------------------- what must hold

    def _require_still(self, user: User) -> User:
        """The user as it is now."""
        if (known := self._by_id.get(user.id)) is None:
            raise NotFound(f"User '{user.name}' not found")
        return known

    def _require_same(self, user: User) -> None:
        known = self._by_id.get(user.id)
        if known is None or known.signs_in_with != user.signs_in_with:
            raise Conflict("This account was changed just now; try again")

    def _require_admin_after(self, after: User | None, before: User) -> None:
        if not before.leads or (after is not None and after.leads):
            return
        if not any(user.leads for user in self._by_id.values() if user.id != before.id):
            raise Conflict(f"'{before.name}' is the last admin; make somebody else one first")


def _staying(gone: Iterable[UserRow], after: Iterable[UserRow]) -> Stays:
    """As long as there are no users, any name may be somebody's later."""
    former, names = ({row.name.lower() for row in rows} for rows in (gone, after))
    return lambda name: name.lower() not in former and (not names or name.lower() in names)


def _left_entry(row: UserRow, now: float) -> Entry:
    detail = "" if row.source == "config" else f"the config file has this name now; this one was {row.source}"
    return Entry(time=now, user="", via="daemon", action="user.delete", object=f"user {row.name}", detail=detail)


def _require_name(name: str) -> None:
    if not is_user_name(name):
        raise InvalidInput(USER_NAME_RULE, "username")
