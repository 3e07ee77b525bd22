"""Whom somebody from outside is here: whoever the provider of single sign-on or a proxy vouches for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hbd.accounts.model import Outsider, User
from hbd.errors import Conflict


def account_of(person: Outsider, everyone: Iterable[User], named: User | None, *, link: bool) -> User | None:
    """Whose account it is; None: nobody's yet. named: who has that name here. link: it may be one that was made here.

    Raises Conflict when the account, or the name, belongs to somebody else.
    """
    if person.subject is None:
        found, same = named, named is not None and named.source == person.source
    elif (of_subject := next((user for user in everyone if user.subject == person.subject), None)) is not None:
        found, same = of_subject, link or of_subject.source == person.source
    else:
        found, same = named, link and named is not None and named.subject is None
    if found is not None and not same:
        raise Conflict(f"The name '{person.name}' belongs to another account here")
    return found


def news(person: Outsider, known: User) -> dict[str, Any]:
    """Fields in which the account is not as it was told. The role and name of a linked account are decided here."""
    said: dict[str, Any] = {"subject": person.subject} if person.subject is not None else {}
    if known.source == person.source:
        said["role"] = person.role
        said["full_name"] = person.full_name or known.full_name
    return {name: value for name, value in said.items() if getattr(known, name) != value}
