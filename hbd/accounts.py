"""Everybody who may sign in, and what they sign in with: sessions and API tokens.

Users come from the config, from the store (made here or by the command line), or from outside (single sign-on, a
proxy). All of them are in memory; what is changed is on disk, with its audit entry, before it counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from hbd.access import Identity, Role
from hbd.config import Config
from hbd.config.structs import User as ConfigUser
from hbd.errors import Conflict, InvalidInput, NotFound
from hbd.model import USER_NAME_RULE, is_user_name
from hbd.store import Store
from hbd.store.accounts import AccessRow, SessionRow, TokenRow, UserRow
from hbd.store.audit import Entry

Source = Literal["config", "local", "oidc", "proxy"]
Method = Literal["password", "oidc", "setup"]

SESSION_PREFIX, TOKEN_PREFIX = "hbs_", "hbt_"  # so that leaked ones can be found
START_LENGTH = 10  # so much of an API token is shown, to know it again
SESSIONS_PER_USER = 500  # a script that signs in every minute makes 1,440 a day: the least used go
TOKENS_PER_USER = 100
MAX_USERS = 10_000
NEEDS_SECOND_FACTOR = "Set up your second factor first; your profile page does it"
SETUP_DONE = "setup_done"


class User(Struct, frozen=True, kw_only=True):
    """One account as it is now. password: bcrypt hash. totp: secret of the second factor. Times are Unix seconds."""

    id: int
    name: str
    source: Source
    subject: str | None
    full_name: str
    avatar: str
    role: Role
    enabled: bool
    channels: tuple[str, ...]
    password: bytes | None
    totp: str | None
    totp_step: int
    recovery: tuple[bytes, ...]
    created: float
    last_login: float | None

    def __repr__(self) -> str:
        return f"User({self.name!r}, {self.role}, •••)"


class Session(Struct, kw_only=True, eq=False):
    """Somebody who is signed in."""

    id: int
    user_id: int
    hash: bytes
    created: float
    expires: float
    last_used: float
    address: str
    user_agent: str
    method: Method

    def row(self) -> SessionRow:
        return SessionRow(*(getattr(self, name) for name in SessionRow._fields))


class ApiToken(Struct, kw_only=True, eq=False):
    """What a script shows instead of a password. hosts: names; None: all that its user may."""

    id: int
    user_id: int
    hash: bytes
    name: str
    start: str
    scope: Literal["read", "write"]
    hosts: tuple[str, ...] | None
    created: float
    expires: float | None
    last_used: float | None
    last_address: str | None

    def row(self) -> TokenRow:
        return TokenRow(*(getattr(self, name) for name in TokenRow._fields))


class Credential(NamedTuple):
    """Something valid that was shown, and whom it stands for. Neither session nor token: a proxy vouched."""

    user: User
    identity: Identity
    session: Session | None = None
    token: ApiToken | None = None


class Outsider(NamedTuple):
    """Somebody whom the provider of single sign-on or a proxy knows. subject None: it is known by the name alone."""

    source: Literal["oidc", "proxy"]
    name: str
    subject: str | None
    full_name: str
    role: Role


class Accounts:
    def __init__(self, config: Config, store: Store) -> None:
        """changed: called after users, sessions or tokens went or mean something else than before."""
        self.changed: list[Callable[[], None]] = []
        self._config = config
        self._store = store.accounts
        self._rows: dict[int, UserRow] = {}
        self._users: dict[str, User] = {}
        self._by_id: dict[int, User] = {}
        self._sessions: dict[bytes, Session] = {}
        self._tokens: dict[bytes, ApiToken] = {}
        self._used: set[Session | ApiToken] = set()
        self._changing = asyncio.Lock()
        self.setup_done = False
        """whether there ever was a first user: from then on nobody else can become it from outside"""

    async def load(self, now: float) -> None:
        """Know everybody of the config and the store."""
        self._rows = {row.id: row for row in await self._store.users()}
        self._sessions = {row.hash: Session(**row._asdict()) for row in await self._store.sessions()}
        self._tokens = {row.hash: ApiToken(**row._asdict()) for row in await self._store.tokens()}
        self.setup_done = await self._store.flag(SETUP_DONE)
        await self.configure(self._config, now)
        await self.save_uses(now)

    async def configure(self, config: Config, now: float) -> None:
        """Take the users of a config: new ones come, those it no longer has go with all that is theirs.

        Who has another password than before is signed out. Raises StorageError, with everything as it was.
        """
        async with self._changing:
            by_name = {row.name.lower(): row for row in self._rows.values()}
            fresh = [_configured(config, name, by_name.pop(name.lower(), None), now) for name in config.users]
            changed = [row for row in fresh if row != self._rows.get(row.id)]
            gone = [row for row in by_name.values() if row.source == "config"]
            entries = [
                Entry(time=now, user="", via="daemon", action="user.delete", object=f"user {row.name}") for row in gone
            ]
            other = {row.id for row in changed if row.id and row.password != self._rows[row.id].password}
            over = [session for session in self._sessions.values() if session.user_id in other]
            flag = SETUP_DONE if fresh and not self.setup_done else None
            if changed or gone or flag:
                await self._store.save(
                    changed, *entries, ended=[session.id for session in over], gone=[row.id for row in gone], flag=flag
                )
            self.setup_done = self.setup_done or bool(fresh)
            self._rows |= {row.id: row for row in changed}
            for row in gone:
                del self._rows[row.id]
            self._config = config
            self._forget(over)
            self._rebuild()
        self._tell()

    # ------------------------------------------------------------------------------------------------------- reading

    def __len__(self) -> int:
        return len(self._users)

    @property
    def open(self) -> bool:
        """Whether nobody has to sign in: there are no users, and nobody from outside could be one."""
        auth = self._config.auth
        return not self._users and auth.oidc.issuer is None and auth.proxy.user_header is None

    def get(self, name: str) -> User | None:
        """The user of that name, in any case."""
        return self._users.get(name.lower())

    def by_id(self, user_id: int) -> User | None:
        return self._by_id.get(user_id)

    def require(self, name: str) -> User:
        user = self.get(name)
        if user is None:
            raise NotFound(f"User '{name}' not found")
        return user

    def everyone(self) -> list[User]:
        """All users, in the order of their names."""
        return sorted(self._users.values(), key=lambda user: user.name.lower())

    def first_admin(self) -> str | None:
        """Who owns what nobody else does: the first admin of the config, else the one who was made first."""
        of_config = [self._users[name.lower()] for name in self._config.users if name.lower() in self._users]
        for user in (*of_config, *sorted(self._users.values(), key=lambda user: user.id)):
            if user.role is Role.ADMIN and user.enabled:
                return user.name
        return None

    def sessions(self, user: User) -> list[Session]:
        """Where a user is signed in, the last used first."""
        found = (session for session in self._sessions.values() if session.user_id == user.id)
        return sorted(found, key=lambda session: -session.last_used)

    def tokens(self, user: User) -> list[ApiToken]:
        return [token for token in self._tokens.values() if token.user_id == user.id]

    def signed_in_from(self) -> list[tuple[str, str]]:
        """(user name, address) of every session."""
        return [(self._by_id[session.user_id].name, session.address) for session in self._sessions.values()]

    # ----------------------------------------------------------------------------------------------- who is it

    def credential(self, token: str, now: float) -> Credential | None:
        """What a session's or an API token stands for; None when it stands for nothing (any more).

        The look-up is by hash: its time tells nothing.
        """
        return self.by_hash(token_hash(token), now)

    def by_hash(self, hashed: bytes, now: float) -> Credential | None:
        session = self._sessions.get(hashed)
        if session is not None:
            user = self._by_id[session.user_id]
            if now >= session.expires or not user.enabled:
                return None
            return Credential(user, self._identity(user, session), session)
        token = self._tokens.get(hashed)
        if token is None or (token.expires is not None and now >= token.expires):
            return None
        user = self._by_id[token.user_id]
        if not user.enabled:
            return None
        hosts = None if token.hosts is None else frozenset(name.lower() for name in token.hosts)
        limited = Identity(user.name, user.role, writes=token.scope == "write", hosts=hosts, person=False)
        return Credential(user, limited, None, token)

    def vouched_for(self, name: str) -> Credential | None:
        """A user whom a proxy named."""
        user = self.get(name)
        return Credential(user, Identity(user.name, user.role)) if user is not None and user.enabled else None

    def _identity(self, user: User, session: Session) -> Identity:
        held_back = session.method != "oidc" and self.lacks_second_factor(user)
        return Identity(user.name, user.role, held_back=NEEDS_SECOND_FACTOR if held_back else "")

    def lacks_second_factor(self, user: User) -> bool:
        """Whether this user needs a second factor by the config and has none."""
        return user.totp is None and user.role in self._config.auth.second_factor

    def use(self, credential: Credential, address: str, now: float) -> None:
        """Remember that it was used; ``save_uses`` writes that down some time later."""
        if credential.session is not None:
            credential.session.last_used, credential.session.address = now, address
            self._used.add(credential.session)
        elif credential.token is not None:
            credential.token.last_used, credential.token.last_address = now, address
            self._used.add(credential.token)

    async def save_uses(self, now: float) -> None:
        """Write down what was used, and forget sessions that are over. Raises StorageError."""
        used, self._used = self._used, set()
        if used:
            sessions = [entry.row() for entry in used if isinstance(entry, Session) and entry.hash in self._sessions]
            await self._store.save_uses(sessions, [entry.row() for entry in used if isinstance(entry, ApiToken)])
        over = [session for session in self._sessions.values() if now >= session.expires]
        if over:
            await self._store.end_sessions(session.id for session in over)
            self._forget(over)

    # ---------------------------------------------------------------------------------------------------- signing in

    async def sign_in(
        self, user: User, method: Method, entry: Entry, *, address: str, user_agent: str, **fields: Any
    ) -> str:
        """Begin a session; returns its token, which is shown only now. fields: totp_step or recovery, changed with it.

        Raises Conflict when what the user signs in with is not what it was when it was looked at.
        """
        async with self._changing:
            if self._signs_in_with(self._by_id.get(user.id)) != self._signs_in_with(user):
                raise Conflict("This account was changed just now; try again")
            row = _copy(self._rows[user.id], last_login=entry.time, **_plain(fields))
            return await self._begin(row, method, entry, address, user_agent)

    @staticmethod
    def _signs_in_with(user: User | None) -> object:
        return user and (user.enabled, user.password, user.totp, user.totp_step, user.recovery)

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
        known = sorted((s for s in self._sessions.values() if s.user_id == row.id), key=lambda s: s.last_used)
        over = known[: max(0, len(known) - SESSIONS_PER_USER + 1)]
        flag = None if self.setup_done else SETUP_DONE
        ended = [session.id for session in over]
        session.id, session.user_id = await self._store.sign_in(session.row(), row, entry, ended=ended, flag=flag)
        self.setup_done = True
        self._forget(over)
        self._rows[row.id] = row
        self._rebuild()
        self._sessions[session.hash] = session
        return token

    async def set_up(self, name: str, hashed: bytes, entry: Entry, *, address: str, user_agent: str) -> str:
        """Make the first user, an admin, and sign it in. Raises Conflict once there was one."""
        async with self._changing:
            if self.setup_done:
                raise Conflict("The first user was set up already")
            _require_name(name)
            row = UserRow(name=name, source="local", role="admin", password=hashed.decode(), created=entry.time)
            row.last_login = entry.time
            token = await self._begin(row, "setup", entry, address, user_agent)
        self._tell()
        return token

    async def end(self, sessions: Iterable[Session], *entries: Entry) -> None:
        """End sessions, and what is open with them."""
        ending = list(sessions)
        await self._store.end_sessions([session.id for session in ending], *entries)
        self._forget(ending)
        self._tell()

    # ------------------------------------------------------------------------------------------------------ changing

    async def add(self, name: str, entry: Entry, *, password: bytes | None = None, **fields: Any) -> User:
        """Make a user. fields: full_name, avatar, role, channels. Raises InvalidInput, Conflict."""
        async with self._changing:
            _require_name(name)
            if (known := self.get(name)) is not None:
                raise Conflict(f"There is a user '{known.name}' already")
            if len(self._users) >= MAX_USERS:
                raise Conflict(f"The limit of {MAX_USERS} users is reached")
            hashed = password.decode() if password else None
            row = UserRow(name=name, source="local", password=hashed, created=entry.time, **_plain(fields))
            await self._store.save([row], entry, flag=SETUP_DONE)
            self.setup_done = True
            self._rows[row.id] = row
            self._rebuild()
        self._tell()
        return self.require(name)

    async def change(
        self, user: User, fields: dict[str, Any], *entries: Entry, keep: Session | None = None, sign_out: bool = False
    ) -> User:
        """Change fields of a user: full_name, avatar, role, enabled, channels, password (bytes or None), totp,
        totp_step, recovery, last_login.

        sign_out: all its sessions end, but for ``keep``. Raises Conflict when nobody would be admin any more, and
        NotFound when the user has gone meanwhile.
        """
        async with self._changing:
            row = self._rows.get(user.id)
            if row is None:
                raise NotFound(f"User '{user.name}' not found")
            fresh = self._changed_row(row, fields)
            self._require_admin_after(self._user(fresh), self._by_id[user.id])
            ending = [s for s in self._sessions.values() if s.user_id == user.id and s is not keep] if sign_out else []
            await self._store.save([fresh], *entries, ended=[session.id for session in ending])
            self._rows[user.id] = fresh
            self._forget(ending)
            self._rebuild()
        self._tell()
        return self._by_id[user.id]

    def _changed_row(self, row: UserRow, fields: dict[str, Any]) -> UserRow:
        values = {name: _stored(value) for name, value in fields.items()}
        if row.source == "config":
            told = _of_config(self._config.users[row.name])
            changes = dict(row.changes)
            for name in told.keys() & values.keys():
                now = values.pop(name)
                changes.pop(name, None)
                if now != told[name]:
                    changes[name] = {"was": told[name], "now": now}
            fresh = _copy(row, **values, changes=changes)
            return _copy(fresh, password=_in_force(self._config, fresh)["password"])
        return _copy(row, **values)

    async def delete(self, user: User, access: Sequence[AccessRow], *entries: Entry) -> None:
        """Delete a user with all its sessions and tokens. access: what becomes of the hosts it could reach.

        Raises Conflict for the last admin and for a user of the config, NotFound when the user has gone meanwhile.
        """
        async with self._changing:
            known = self._by_id.get(user.id)
            if known is None:
                raise NotFound(f"User '{user.name}' not found")
            if known.source == "config":
                raise Conflict(f"User '{known.name}' is in the config file; take it out there, or disable it here")
            self._require_admin_after(None, known)
            await self._store.delete(known.id, access, *entries)
            del self._rows[known.id]
            self._rebuild()
        self._tell()

    def _require_admin_after(self, after: User | None, before: User) -> None:
        if before.role is not Role.ADMIN or not before.enabled:
            return
        if after is not None and after.role is Role.ADMIN and after.enabled:
            return
        others = (user for user in self._users.values() if user.id != before.id)
        if not any(user.role is Role.ADMIN and user.enabled for user in others):
            raise Conflict(f"'{before.name}' is the last admin; make somebody else one first")

    async def admit(self, person: Outsider, entry: Entry, *, link: bool = False) -> User:
        """The account of somebody from outside, made or brought up to date. link: it may be one that exists here.

        Raises Conflict when the name belongs to somebody else, InvalidInput when it cannot be a name.
        """
        _require_name(person.name)
        known = self._outsider(person)
        fields: dict[str, Any] = {"role": person.role}
        if person.full_name:
            fields["full_name"] = person.full_name
        if known is None and (other := self.get(person.name)) is not None:
            if not link or other.subject is not None:
                raise Conflict(f"The name '{person.name}' belongs to another account here")
            return other  # its role is decided here
        if known is None:
            async with self._changing:
                row = UserRow(
                    name=person.name, source=person.source, subject=person.subject, created=entry.time, **_plain(fields)
                )
                try:
                    await self._store.save([row], entry, flag=SETUP_DONE)
                except sqlite3.IntegrityError:  # the same person twice at once
                    raise Conflict("Try again") from None
                self.setup_done = True
                self._rows[row.id] = row
                self._rebuild()
            self._tell()
            return self.require(person.name)
        if all(getattr(known, name) == value for name, value in fields.items()):
            return known
        return await self.change(known, fields, entry)

    def _outsider(self, person: Outsider) -> User | None:
        if person.subject is not None:
            return next((user for user in self._users.values() if user.subject == person.subject), None)
        user = self.get(person.name)
        return user if user is not None and user.source == person.source else None

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
            if user.id not in self._by_id:
                raise NotFound(f"User '{user.name}' not found")
            if len(self.tokens(user)) >= TOKENS_PER_USER:
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
            self._tokens[made.hash] = made
        return made, text

    async def delete_token(self, token: ApiToken, entry: Entry) -> None:
        await self._store.delete_tokens([token.id], entry)
        self._tokens.pop(token.hash, None)
        self._tell()

    # -------------------------------------------------------------------------------------------------------- inside

    def _rebuild(self) -> None:
        """Make the users anew from what is stored and what the config says."""
        users = [self._user(row) for row in self._rows.values()]
        self._users = {user.name.lower(): user for user in users}
        self._by_id = {user.id: user for user in users}
        self._sessions = {key: s for key, s in self._sessions.items() if s.user_id in self._by_id}
        self._tokens = {key: t for key, t in self._tokens.items() if t.user_id in self._by_id}

    def _user(self, row: UserRow) -> User:
        values = _in_force(self._config, row)
        return User(
            id=row.id,
            name=row.name,
            source=row.source,  # type: ignore[arg-type]
            subject=row.subject,
            full_name=values["full_name"],
            avatar=values["avatar"],
            role=Role(values["role"]),
            enabled=values["enabled"],
            channels=tuple(values["channels"]),
            password=values["password"].encode() if values["password"] else None,
            totp=row.totp,
            totp_step=row.totp_step,
            recovery=tuple(map(bytes.fromhex, row.recovery)),
            created=row.created,
            last_login=row.last_login,
        )

    def _forget(self, sessions: Iterable[Session]) -> None:
        for session in sessions:
            self._sessions.pop(session.hash, None)

    def _tell(self) -> None:
        for listener in self.changed:
            listener()


_TOLD = ("full_name", "avatar", "role", "enabled", "channels", "password")


def _of_config(user: ConfigUser) -> dict[str, Any]:
    """What the file says of a user, as it is stored."""
    return {
        "full_name": user.full_name,
        "avatar": user.avatar,
        "role": "admin" if user.admin else user.role,
        "enabled": True,
        "channels": list(user.notification_channels),
        "password": user.password.reveal() if user.password else None,
    }


def _in_force(config: Config, row: UserRow) -> dict[str, Any]:
    """What the file can say of a user, as it holds now."""
    values = {name: getattr(row, name) for name in _TOLD}
    if row.source == "config":
        for name, told in _of_config(config.users[row.name]).items():
            change = row.changes.get(name)
            values[name] = change["now"] if change is not None and change["was"] == told else told
    return values


def _configured(config: Config, name: str, row: UserRow | None, now: float) -> UserRow:
    """The row of a user of the config. row: the one of that name so far.

    What was changed here is forgotten once the file says something else than then. The password that holds is kept
    in the row too: another one in the file is noticed across a restart.
    """
    row = row or UserRow(name=name, source="config", created=now)
    told = _of_config(config.users[name])
    changes = {field: change for field, change in row.changes.items() if change["was"] == told[field]}
    fresh = _copy(row, name=name, source="config", subject=None, changes=changes)
    return _copy(fresh, password=_in_force(config, fresh)["password"])


def _stored(value: Any) -> Any:
    """A value of ``User`` as its row has it."""
    if isinstance(value, Role):
        return value.value
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, tuple):
        return [entry.hex() if isinstance(entry, bytes) else entry for entry in value]
    return value


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: _stored(value) for name, value in fields.items()}


def _copy(row: UserRow, **changes: Any) -> UserRow:
    values = {name: getattr(row, name) for name in row.__struct_fields__}
    return UserRow(**values | changes)


def _require_name(name: str) -> None:
    if not is_user_name(name):
        raise InvalidInput(USER_NAME_RULE, "username")


def new_token(prefix: str) -> str:
    """256 random bits that can be put into a header or a URL."""
    return prefix + secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """What is stored of a token. It is random, so that a fast hash is as good as a slow one."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
