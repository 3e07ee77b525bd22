"""Everything that decides who gets in, built together and configured together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable

from hbd.accounts import Accounts
from hbd.attempts import Attempts
from hbd.audit import Audit
from hbd.config import Config
from hbd.errors import StorageError
from hbd.host_access import HostAccess
from hbd.hosts import Hosts
from hbd.oidc import Provider
from hbd.passwords import Passwords
from hbd.second_factor import SecondFactors
from hbd.signin import SignIn
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.audit import Entry

log = logging.getLogger(__name__)

SHUT = "there are none any more, and hbd stays closed to everybody"
SAVE_SECONDS = 30.0  # so late may "last used" be after a crash


class Security:
    def __init__(self, config: Config, store: Store, stats: Stats, passwords: Passwords | None = None) -> None:
        self.accounts = Accounts(config, store)
        self.host_access = HostAccess(store, self.accounts)
        self.passwords = passwords or Passwords()
        self._attempts = Attempts(*_login_limits(config))
        self.audit = Audit(store, stats)
        self.sign_in = SignIn(self.accounts, self.passwords, self._attempts, self.audit)
        self.second_factors = SecondFactors(self.accounts)
        self.provider = _provider(config)
        self._config = config
        self._former_provider: Provider | None = None
        self._warnings: list[str] = []
        self._warned_of = -1
        self.accounts.changed.append(self.sign_in.know)

    async def load(self, now: float) -> None:
        """Know everybody and everything of the config and the store. Raises StorageError."""
        await self.host_access.load(now)
        self.sign_in.know()
        self.sign_in.remember()
        if self.accounts.shut:
            self._note_shut(now)

    async def configure(self, config: Config, hosts: Hosts, now: float) -> None:
        """Take a config that was read again; once it is in force everywhere, ``announce`` it.

        Raises StorageError, with everything as it was.
        """
        was_shut = self.accounts.shut
        await self.host_access.configure(config, hosts.everyone(), now)
        if self.accounts.shut and not was_shut:
            self._note_shut(now)
        self._attempts.configure(*_login_limits(config))
        old, self._config = self._config, config
        self._warned_of = -1
        if (old.auth.oidc, old.base_url) != (config.auth.oidc, config.base_url):
            self._former_provider, self.provider = self.provider, _provider(config)

    def announce(self) -> Awaitable[None]:
        """Have everybody look again at who is who; returns what the former config still has to end."""
        self.accounts.tell()
        former, self._former_provider = self._former_provider, None
        return _closed(former)

    def warnings(self) -> list[str]:
        """``key: reason``: what only shows once the users are known."""
        if self._warned_of != self.accounts.version:
            self._warned_of, self._warnings = self.accounts.version, self._found()
        return self._warnings

    def _found(self) -> list[str]:
        if not len(self.accounts):
            return [f"users: {SHUT}; make one: hbd user add --admin NAME"] if self.accounts.shut else []
        found = self.host_access.unknown_people(self._config)
        if self.accounts.first_admin() is None:
            found.append("users: nobody is admin; make somebody one: hbd user role NAME admin")
        return found

    def _note_shut(self, now: float) -> None:
        self.audit.note(Entry(time=now, user="", via="daemon", action="users.none", detail=SHUT))

    async def run(self) -> None:
        """Write down what is noted, and when things were last used, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.audit.run())
            group.create_task(self._save_uses())

    async def _save_uses(self) -> None:
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await self._try_to_save()

    async def _try_to_save(self) -> None:
        try:
            await self.accounts.save_uses(time.time())
        except StorageError as error:
            log.debug("uses of tokens were not written down: %s", error)

    async def close(self) -> None:
        """Write what waits; nobody signs in any more."""
        self.passwords.close()
        await _closed(self.provider)
        await self._try_to_save()
        await self.audit.write()


def _provider(config: Config) -> Provider | None:
    if config.auth.oidc.issuer is None or config.base_url is None:
        return None
    return Provider(config.auth.oidc, f"{config.base_url}/login/oidc/callback")


async def _closed(provider: Provider | None) -> None:
    if provider is not None:
        await provider.close()


def _login_limits(config: Config) -> tuple[int, int, float]:
    limits = config.limits
    return limits.logins_per_account, limits.logins_per_address, limits.login_window
