"""The commands for users, passwords and API tokens. A password is never an argument, and leaves this process hashed."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import secrets
import sys
import time
from collections.abc import Callable
from typing import Any

from hbd.asking import NoDatabase, ask, change, config_of, local_time, note, table
from hbd.config.leaves import LEAVES, Wrong, read_duration
from hbd.config.structs import Auth
from hbd.config.yaml_source import Scalar
from hbd.errors import ConfigError, HbdError, InvalidInput
from hbd.host_access import Part
from hbd.model import USER_NAME_RULE, is_user_name
from hbd.passwords import Passwords, check_new

ROLES = ("viewer", "operator", "admin")
PARTS: dict[str, Part] = {"manager": "managers", "monitor": "monitors"}
RANDOM_LENGTH = 20  # 120 bits
MAX_LINE_BYTES = 4096
MAX_EXPIRY_SECONDS = 100 * 365.25 * 86400


def add_commands(command: Callable[..., Any], group: Callable[..., Any]) -> None:
    """command, group: make a parser for a command, and for the commands that share a first word."""
    passwd = command("passwd", _passwd, "hash a password for the config file; with a name, give that user a new one")
    passwd.add_argument("name", metavar="USER", nargs="?")
    _add_user_commands(command, group("user", "make users and change them"))
    _add_token_commands(command, group("token", "make API tokens for scripts and revoke them"))


def _add_user_commands(command: Callable[..., Any], verbs: Any) -> None:
    add = command("add", _user_add, "make a user; the password is asked for, or the first line of the input", verbs)
    add.epilog = "Without any input a password is made up and printed."
    add.add_argument("name", metavar="NAME")
    role = add.add_mutually_exclusive_group()
    role.add_argument("--admin", dest="role", action="store_const", const="admin", help="short for --role admin")
    role.add_argument("--role", choices=ROLES, help="what it may do; viewer unless you say so")
    add.add_argument("--no-admin", action="store_true", help="even though it is the first user, and no admin")
    add.add_argument("--full-name", metavar="TEXT", default="", help="the name that people see")
    add.add_argument("--no-password", action="store_true", help="it signs in from outside: single sign-on or a proxy")
    listing = command("list", _user_list, "list the users", verbs)
    listing.add_argument("--json", action="store_true", help="as one JSON document")
    for name, run, text in (
        ("remove", _user_remove, "delete a user with its sessions, its API tokens and its rights on hosts"),
        ("disable", _user_disable, "keep a user out, and sign it out everywhere"),
        ("enable", _user_enable, "let a disabled user in again"),
        ("reset-second-factor", _user_reset, "take the second factor from a user who has lost it"),
    ):
        command(name, run, text, verbs).add_argument("name", metavar="NAME")
    role = command("role", _user_role, "change what a user may do", verbs)
    role.add_argument("name", metavar="NAME")
    role.add_argument("role", metavar="ROLE", choices=ROLES, help=", ".join(ROLES))
    for name, run, text in (
        ("grant", _user_grant, "make a user manager or monitor of hosts"),
        ("revoke", _user_revoke, "have a user no longer be manager or monitor of hosts"),
    ):
        access = command(name, run, text, verbs)
        access.epilog = "HOST may be a pattern, such as 'web*' (in quotes, or the shell looks for files of that name)."
        access.add_argument("name", metavar="USER")
        part = access.add_mutually_exclusive_group(required=True)
        for of in PARTS:
            part.add_argument(f"--{of}", metavar="HOST", nargs="+", help=f"the hosts that it is {of} of")


def _add_token_commands(command: Callable[..., Any], verbs: Any) -> None:
    create = command("create", _token_create, "print a new API token, which is shown only now", verbs)
    create.add_argument("--user", metavar="NAME", help="whose rights it has; the first admin's unless you say so")
    create.add_argument("--name", metavar="TEXT", default="command line", help="what it is for, to know it again")
    create.add_argument("--write", action="store_true", help="it may change things too; else it may only read")
    create.add_argument(
        "--host", metavar="HOST", action="append", default=[], help="for this host alone; may be given several times"
    )
    create.add_argument("--expires", metavar="TIME", type=_expiry, help="it ends after that time, such as 12h or 90d")
    listing = command("list", _token_list, "list the API tokens", verbs)
    listing.add_argument("--user", metavar="NAME", help="of that user alone")
    listing.add_argument("--json", action="store_true", help="as one JSON document")
    revoke = command("revoke", _token_revoke, "make an API token worthless at once", verbs)
    revoke.add_argument("id", metavar="ID", type=int, help="as hbd token list shows it")


def _expiry(text: str) -> float:
    try:
        seconds = read_duration(Scalar(0, text))
    except Wrong:
        seconds = 0.0
    if not 0 < seconds <= MAX_EXPIRY_SECONDS:
        raise argparse.ArgumentTypeError(f"{LEAVES['duration'].expected} is wanted")
    return seconds


# --------------------------------------------------------------------------------------------------------- passwords


def _passwd(options: argparse.Namespace) -> int:
    if options.name is None:
        print(_hash(_given_password(_least_length_anyway(options))))
        return 0
    hashed = _hash(_given_password(config_of(options).auth.min_password_length))
    if change(options, "user password", name=options.name, password=hashed):
        _tell_of_file(options.name)
    return 0


def _least_length_anyway(options: argparse.Namespace) -> int:
    """Who writes a config needs a hash before that config is right."""
    try:
        return config_of(options).auth.min_password_length
    except ConfigError:
        return Auth().min_password_length


def _given_password(least: int) -> str:
    password = _read_password(least)
    if password is None:
        raise HbdError("no password was given; it is read from the terminal or from standard input")
    return password


def _read_password(least: int) -> str | None:
    """Typed twice on the terminal, or the first line of standard input; None where there is not even that.

    Raises InvalidInput for one that may not be set, HbdError when the two differ.
    """
    if not sys.stdin.isatty():
        line = sys.stdin.buffer.readline(MAX_LINE_BYTES)
        try:
            return check_new(line.decode().removesuffix("\n").removesuffix("\r"), least) if line else None
        except UnicodeDecodeError:
            raise InvalidInput("is not UTF-8 text", "password") from None
    try:
        password = getpass.getpass("Password: ")
        usable = check_new(password, least)
        if getpass.getpass("Once more: ") != password:
            raise HbdError("the two passwords are not the same")
    except EOFError:
        return None
    return usable


def _hash(password: str) -> str:
    async def hashed() -> bytes:
        passwords = Passwords(workers=1)
        try:
            return await passwords.hash(password)
        finally:
            passwords.close()

    return asyncio.run(hashed()).decode()


def _tell_of_file(name: str) -> None:
    note(f"'{name}' is in the config file; this holds until the file says something else")


# ------------------------------------------------------------------------------------------------------------- users


def _user_add(options: argparse.Namespace) -> int:
    if not is_user_name(options.name):  # said before anybody types a password
        raise InvalidInput(USER_NAME_RULE, "NAME")
    if options.role != "admin" and not options.no_admin and _is_first(options):
        raise HbdError(
            "the first user has to be an admin, as nobody else could change anything from then on: "
            f"hbd user add --admin {options.name} (or --no-admin, if you mean it)"
        )
    password, made_up = None, None
    if not options.no_password:
        least = config_of(options).auth.min_password_length
        password = _read_password(least)
        if password is None and not sys.stdin.isatty():
            password = made_up = secrets.token_urlsafe(64)[: max(RANDOM_LENGTH, least)]
        elif password is None:
            raise HbdError("no password was given")
    has_admin = change(
        options,
        "user add",
        name=options.name,
        role=options.role or "viewer",
        full_name=options.full_name,
        password=_hash(password) if password is not None else None,
    )
    if made_up is not None:
        print(made_up)
    if not has_admin:
        note(f"nobody is admin yet; make somebody one: hbd user role {options.name} admin")
    return 0


def _is_first(options: argparse.Namespace) -> bool:
    try:
        return not ask(options, "user list")
    except NoDatabase:
        return not config_of(options).users


def _user_list(options: argparse.Namespace) -> int:
    users = ask(options, "user list")
    if options.json:
        print(json.dumps(users, indent=2))
        return 0
    rows = [("NAME", "ROLE", "SOURCE", "ENABLED", "2FA", "SESSIONS", "LAST SIGN-IN")]
    rows += [
        (
            user["username"],
            user["role"],
            user["source"],
            _yes(user["enabled"]),
            _yes(user["second_factor"]),
            str(user["sessions"]),
            local_time(user["last_login"]),
        )
        for user in users
    ]
    print(table(rows))
    return 0


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _user_remove(options: argparse.Namespace) -> int:
    change(options, "user remove", name=options.name)
    return 0


def _user_disable(options: argparse.Namespace) -> int:
    change(options, "user disable", name=options.name)
    return 0


def _user_enable(options: argparse.Namespace) -> int:
    change(options, "user enable", name=options.name)
    return 0


def _user_reset(options: argparse.Namespace) -> int:
    change(options, "user reset-second-factor", name=options.name)
    return 0


def _user_role(options: argparse.Namespace) -> int:
    if change(options, "user role", name=options.name, role=options.role):
        _tell_of_file(options.name)
    return 0


def _user_grant(options: argparse.Namespace) -> int:
    return _give(options, "grant", {True: "is {} now", False: "was {} already"})


def _user_revoke(options: argparse.Namespace) -> int:
    return _give(options, "revoke", {True: "is no {} any more", False: "was no {}"})


def _give(options: argparse.Namespace, verb: str, words: dict[bool, str]) -> int:
    """words: what is told of a host, by whether anything has changed."""
    part = next(part for part in PARTS if getattr(options, part))
    hosts = change(options, f"user {verb}", name=options.name, part=PARTS[part], hosts=getattr(options, part))
    for host in hosts:
        print(f"{host['host']}: {options.name} {words[host['changed']].format(part)}")
    in_file = [host["host"] for host in hosts if host["changed"] and host["from_file"]]
    if in_file:
        more = f" and {len(in_file) - 1} more" if in_file[1:] else ""
        note(
            f"the config file names the {PARTS[part]} of {in_file[0]}{more}: at the next reload it is as the file says"
        )
    return 0


# ------------------------------------------------------------------------------------------------------------ tokens


def _token_create(options: argparse.Namespace) -> int:
    token = change(
        options,
        "token create",
        user=options.user,
        name=options.name,
        write=options.write,
        hosts=options.host,
        expires_in=options.expires,
    )
    print(token)
    if options.expires is None:
        note("this token never expires; --expires 90d would have it end, hbd token revoke does")
    else:
        note(f"this token expires at {local_time(time.time() + options.expires)}")
    if options.host:
        _warn_of_unheard(options)
    return 0


def _warn_of_unheard(options: argparse.Namespace) -> None:
    """A slip in a name may be that of another host, which is enrolled and nothing else."""
    wanted = {name.lower() for name in options.host}
    for host in ask(options, "agent list"):
        if host["name"].lower() in wanted and host["last_seen"] is None:
            note(f"warning: {host['name']} has never been heard; is it the host you mean?")


def _token_list(options: argparse.Namespace) -> int:
    tokens = ask(options, "token list", user=options.user)
    if options.json:
        print(json.dumps(tokens, indent=2))
        return 0
    rows = [("ID", "USER", "NAME", "START", "SCOPE", "HOSTS", "EXPIRES", "LAST USED")]
    rows += [
        (
            str(token["id"]),
            token["user"],
            token["name"],
            token["start"],
            token["scope"],
            "all" if token["hosts"] is None else ",".join(token["hosts"]),
            local_time(token["expires"]),
            local_time(token["last_used"]),
        )
        for token in tokens
    ]
    print(table(rows))
    return 0


def _token_revoke(options: argparse.Namespace) -> int:
    change(options, "token revoke", id=options.id)
    return 0
