"""Which views of the feed show which hosts. Kept from change to change, as there are thousands of both. Pure."""

from __future__ import annotations

from collections.abc import Iterable, KeysView

from hbd.access import Role, visible
from hbd.hosts import Host, Hosts
from hbd.subscription import View


class Audience:
    """Who looks at what. A change of a host is noted (``changed``) and has its effect at ``settle``."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._unlimited: set[View] = set()
        self._shown: dict[View, set[int]] = {}
        """ids of the hosts that a limited view shows"""
        self._watching: dict[int, set[View]] = {}
        """host id → limited views that show it"""
        self._of_person: dict[str, set[View]] = {}
        """name → limited views of people who see only what they have a part in"""
        self._others: set[View] = set()
        """limited views of those who could see any host"""
        self._changed: dict[int, Host] = {}

    def enter(self, view: View) -> None:
        """Somebody looks at this view; a second time changes nothing."""
        if view.sees_all:
            self._unlimited.add(view)
        elif view not in self._shown:
            shown = self._shown[view] = {host.id for host in self._candidates(view) if view.sees(host)}
            for host_id in shown:
                self._watching.setdefault(host_id, set()).add(view)
            self._kin(view).add(view)

    def leave(self, view: View) -> None:
        """Nobody looks at it any more."""
        self._unlimited.discard(view)
        for host_id in self._shown.pop(view, ()):
            self._unwatch(host_id, view)
        self._others.discard(view)
        kin = self._of_person.get(view.identity.name)
        if kin is not None:
            kin.discard(view)
            if not kin:
                del self._of_person[view.identity.name]

    def _kin(self, view: View) -> set[View]:
        if view.identity.role is Role.VIEWER:
            return self._of_person.setdefault(view.identity.name, set())
        return self._others

    def _candidates(self, view: View) -> Iterable[Host]:
        if view.hosts is None:
            return visible(view.identity, self._hosts)
        named = (self._hosts.get(name) for name in view.hosts)
        return [host for host in named if host is not None]

    def _unwatch(self, host_id: int, view: View) -> None:
        watching = self._watching.get(host_id)
        if watching is not None:
            watching.discard(view)
            if not watching:
                del self._watching[host_id]

    # ------------------------------------------------------------------------------------------------------- looking

    def shows(self, view: View, host: Host) -> bool:
        shown = self._shown.get(view)
        return shown is None or host.id in shown

    def among(self, view: View, host_ids: KeysView[int]) -> Iterable[int]:
        """Those of some hosts that a view shows; the fewer of the two are gone through."""
        shown = self._shown.get(view)
        return host_ids if shown is None else shown & host_ids

    def hosts(self, view: View) -> list[Host]:
        """All that a view shows, in the order of their names."""
        shown = self._shown.get(view)
        if shown is None:
            return list(self._hosts)
        found = (self._hosts.by_id(host_id) for host_id in shown)
        return sorted((host for host in found if host is not None), key=lambda host: host.name.lower())

    def ids(self, view: View) -> set[int]:
        """Ids of all that a view shows; of a view that nobody looks at yet, too."""
        if view.sees_all:
            return {host.id for host in self._hosts}
        if view in self._shown:
            return set(self._shown[view])
        return {host.id for host in self._candidates(view) if view.sees(host)}

    # ------------------------------------------------------------------------------------------------------- changes

    def changed(self, host: Host) -> None:
        """A host came or went, or others may see it than before."""
        self._changed[host.id] = host

    def settle(self) -> dict[View, list[int]]:
        """Let the changes have their effect; returns the hosts that views do not show any more, by their ids."""
        lost: dict[View, list[int]] = {}
        changed, self._changed = self._changed, {}
        for host_id, host in changed.items():
            here = self._hosts.by_id(host_id)
            if here is None:
                for view in self._unlimited:
                    lost.setdefault(view, []).append(host_id)
            for view in self._concerned(host_id, host):
                sees = here is not None and view.sees(here)
                shown = self._shown[view]
                if sees and host_id not in shown:
                    shown.add(host_id)
                    self._watching.setdefault(host_id, set()).add(view)
                elif not sees and host_id in shown:
                    shown.discard(host_id)
                    self._unwatch(host_id, view)
                    lost.setdefault(view, []).append(host_id)
        return lost

    def _concerned(self, host_id: int, host: Host) -> set[View]:
        """The limited views for which a change of a host may matter."""
        views = self._others | self._watching.get(host_id, set())
        for name in host.people():
            views |= self._of_person.get(name, set())
        return views
