"""Everybody and everything that is valid now, in memory; it only answers questions."""

from __future__ import annotations

from collections.abc import Iterable

from hbd.access import Identity
from hbd.accounts.keys import Keys
from hbd.accounts.model import ApiToken, Credential, Session, User, token_hash
from hbd.accounts.overlay import user_of
from hbd.config import Config
from hbd.errors import NotFound
from hbd.model import LONGEST_USER_NAME
from hbd.reach import Reach, is_this_machine, reach
from hbd.store.accounts import UserRow

NEEDS_SECOND_FACTOR = "Set up your second factor first; your profile page does it"


class Known:
    def __init__(self, config: Config) -> None:
        self.version = 0
        """is another one after users came, went, or are called or ranked otherwise than before"""
        self.setup_done = False
        """whether there ever was a first user: from then on nobody else can become it from outside"""
        self._config = config
        self._bound = config.hbd_host  # another one takes a restart
        self._rows: dict[int, UserRow] = {}
        self._users: dict[str, User] = {}
        self._by_id: dict[int, User] = {}
        self._first_admin: str | None = None
        self._sessions: Keys[Session] = Keys()
        self._tokens: Keys[ApiToken] = Keys()
        self._used: set[Session | ApiToken] = set()

    def __len__(self) -> int:
        return len(self._users)

    @property
    def open(self) -> bool:
        """Whether nobody has to sign in: there are no users, and nobody from outside could be one."""
        return self._is_empty and not self.shut

    @property
    def shut(self) -> bool:
        """Whether nobody gets in at all: the last user has gone, and that opens nothing to others than this machine."""
        return self._is_empty and self.setup_done and self._is_reached

    @property
    def _is_empty(self) -> bool:
        auth = self._config.auth
        return not self._users and auth.oidc.issuer is None and auth.proxy.user_header is None

    @property
    def _is_reached(self) -> bool:
        """Whether others than this machine get here, by what the daemon was started with or by what holds now."""
        bound = (self._bound, self._config.hbd_host)
        return reach(self._config, ()) is not Reach.MACHINE or not all(
            host is None or is_this_machine(host) for host in bound
        )

    # --------------------------------------------------------------------------------------------------------- users

    def get(self, name: str) -> User | None:
        """The user of that name, in any case."""
        return self._users.get(name.lower()) if len(name) <= LONGEST_USER_NAME else None

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
        return self._first_admin

    def lacks_second_factor(self, user: User) -> bool:
        """Whether this user needs a second factor by the config and has none."""
        return user.totp is None and user.role in self._config.auth.second_factor

    # ------------------------------------------------------------------------------------------- sessions and tokens

    def sessions(self, user: User) -> list[Session]:
        """Where a user is signed in, the last used first."""
        return sorted(self._sessions.of(user.id), key=lambda session: -session.last_used)

    def tokens(self, user: User) -> list[ApiToken]:
        return self._tokens.of(user.id)

    def session_count(self, user: User | None = None) -> int:
        """Of a user, or of all."""
        return len(self._sessions) if user is None else self._sessions.count(user.id)

    def token_count(self, user: User | None = None) -> int:
        """Of a user, or of all."""
        return len(self._tokens) if user is None else self._tokens.count(user.id)

    def signed_in_from(self) -> list[tuple[str, str]]:
        """(user name, address) of every session."""
        return [(self._by_id[session.user_id].name, session.address) for session in self._sessions]

    # ----------------------------------------------------------------------------------------------------- who is it

    def credential(self, token: str, now: float) -> Credential | None:
        """What a session's or an API token stands for; None when it stands for nothing (any more).

        The look-up is by hash: its time tells nothing.
        """
        return self.by_hash(token_hash(token), now)

    def by_hash(self, hashed: bytes, now: float) -> Credential | None:
        if (session := self._sessions.get(hashed)) is not None:
            user = self._by_id[session.user_id]
            if now >= session.expires or not user.enabled:
                return None
            return Credential(user, Identity(user.name, user.role, held_back=self._held_back(user, session)), session)
        token = self._tokens.get(hashed)
        if token is None or (token.expires is not None and now >= token.expires):
            return None
        user = self._by_id[token.user_id]
        return Credential(user, self._limited(user, token), None, token) if user.enabled else None

    def vouched_for(self, name: str) -> Credential | None:
        """A user whom a proxy named."""
        user = self.get(name)
        return Credential(user, Identity(user.name, user.role)) if user is not None and user.enabled else None

    def _limited(self, user: User, token: ApiToken) -> Identity:
        return Identity(
            user.name,
            user.role,
            writes=token.scope == "write",
            hosts=None if token.hosts is None else frozenset(name.lower() for name in token.hosts),
            person=False,
            held_back=self._held_back(user, token),
        )

    def _held_back(self, user: User, key: Session | ApiToken) -> str:
        """Why it leads no further than to the own account, "" as a rule.

        Who came by single sign-on has shown there what the provider asks for. An API token tells nothing of how its
        maker came: it is held back where its user has a password, with which alone it may have been made.
        """
        elsewhere = key.method == "oidc" if isinstance(key, Session) else user.password is None
        return NEEDS_SECOND_FACTOR if not elsewhere and self.lacks_second_factor(user) else ""

    def use(self, credential: Credential, address: str, now: float) -> None:
        """Remember that it was used; it is written down some time later."""
        if credential.session is not None:
            credential.session.last_used, credential.session.address = now, address
            self._used.add(credential.session)
        elif credential.token is not None:
            credential.token.last_used, credential.token.last_address = now, address
            self._used.add(credential.token)

    # -------------------------------------------------------------------------------------------------------- inside

    def _rebuild(self, config: Config, rows: Iterable[UserRow]) -> None:
        """Know the users of these rows and nobody else, as this config has it."""
        self._config = config
        self._rows = {row.id: row for row in rows}
        self._by_id = {row.id: user_of(config, row) for row in self._rows.values()}
        self._users = {user.name.lower(): user for user in self._by_id.values()}
        self._sessions.drop([session for session in self._sessions if session.user_id not in self._by_id])
        self._tokens.drop([token for token in self._tokens if token.user_id not in self._by_id])
        self._ranks_changed()

    def _put(self, row: UserRow) -> User:
        """Know a user who is new, or as it is now; the name stays."""
        before, user = self._by_id.get(row.id), user_of(self._config, row)
        self._rows[row.id] = row
        self._by_id[user.id] = self._users[user.name.lower()] = user
        if before is None or (before.role, before.enabled) != (user.role, user.enabled):
            self._ranks_changed()
        return user

    def _remove(self, user: User) -> None:
        del self._rows[user.id], self._by_id[user.id], self._users[user.name.lower()]
        self._sessions.drop(self._sessions.of(user.id))
        self._tokens.drop(self._tokens.of(user.id))
        self._ranks_changed()

    def _ranks_changed(self) -> None:
        self.version += 1
        of_config = (self._users[name.lower()] for name in self._config.users)
        made_first = min((user for user in self._users.values() if user.leads), key=lambda user: user.id, default=None)
        first = next((user for user in of_config if user.leads), made_first)
        self._first_admin = first.name if first is not None else None
