"""Who may do what on a host, over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from hbd.access import Action, may
from hbd.errors import InvalidInput
from hbd.model import USER_NAME_RULE, is_user_name
from hbd.web import schemas
from hbd.web.call import Call
from hbd.web.errors import require

Names = Annotated[list[str], Meta(max_length=1000)]


class AccessChange(Struct, forbid_unknown_fields=True):
    """What is left out stays."""

    owner: str | UnsetType = UNSET
    managers: Names | UnsetType = UNSET
    monitors: Names | UnsetType = UNSET


async def show(call: Call) -> schemas.Access:
    host = call.host
    return schemas.Access(owner=host.owner, managers=host.managers, monitors=host.monitors)


async def update(call: Call) -> schemas.ChangedAccess:
    """Managers decide who monitors; who owns and manages is the owner's to say."""
    host, body = call.host, call.body
    assert isinstance(body, AccessChange)
    if body.owner is not UNSET or body.managers is not UNSET:
        require(may(call.identity, Action.OWN, host, changes=True))
    owner = None if body.owner is UNSET else _user(call, body.owner, "owner")
    managers = None if body.managers is UNSET else _users(call, body.managers, "managers")
    monitors = None if body.monitors is UNSET else _users(call, body.monitors, "monitors")
    given = {"owner": [owner] if owner else None, "managers": managers, "monitors": monitors}
    told = "; ".join(f"{name}: {', '.join(names) or 'nobody'}" for name, names in given.items() if names is not None)
    if told:
        entry = call.entry("host.access", f"host {host.name}", detail=told[:1000])
        await call.parts.host_access.change(host, entry, owner=owner, managers=managers, monitors=monitors)
        call.parts.apply_access([host])
    return schemas.ChangedAccess(owner=host.owner, managers=host.managers, monitors=host.monitors)


def _users(call: Call, names: Sequence[str], field: str) -> tuple[str, ...]:
    found = (_user(call, name, f"{field}[{index}]") for index, name in enumerate(names))
    return tuple(dict.fromkeys(found))


def _user(call: Call, name: str, field: str) -> str:
    """A name as its user writes it; where there are no users, any that could be one's."""
    accounts = call.parts.accounts
    user = accounts.get(name)
    if user is not None:
        return user.name
    if not is_user_name(name):
        raise InvalidInput(f"is no user name: {USER_NAME_RULE}", field)
    if len(accounts):
        raise InvalidInput(f"there is no user '{name}'", field)
    return name
