"""The command line of hbd. See ``hbd --help``."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hbd import __version__, cli_backup, cli_explain, cli_people, cli_settings, logs, tls
from hbd.asking import ask, caller, config_of, local_time, table
from hbd.config import Config
from hbd.config.names import unknown_channels
from hbd.errors import ConfigError, HbdError
from hbd.listen import from_here

OK, FAILED, USAGE = 0, 1, 2
STOP_SECONDS = 5.0

EPILOG = """\
examples:
  hbd run --with-agent               monitor this machine; the page is printed
  hbd run -c /etc/hbd/config.yaml    run with that config
  hbd check-config -c hbd.yaml       say everything that is wrong with a config
  hbd agent add web-1                enrol a host; prints the key its agent needs
  hbd user add --admin NAME          make the first user; from then on everybody has to sign in
  hbd user grant bob --monitor web1  let a user see a host
  hbd passwd                         hash a password for the config file
  hbd token create --expires 90d     print an API token for a script, which may only read
  hbd export settings.yaml           write what was changed in hbd, not in its config, as YAML
  hbd reload                         have the running daemon read its config again
  hbd explain web1 cpu_monitor.cpu_percent
                                     say why a metric has its level, and who was told

The config is the file given by -c, else $HBD_CONFIG, ./hbd.yaml, ~/.config/hbd/config.yaml or
/etc/hbd/config.yaml, whichever is there first; without one everything has its default.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 1 failed, 2 wrong usage."""
    _open_standard_streams()
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return FAILED
    except (HbdError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # the reader of our output left, as `hbd agent list | head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return OK
        print(f"hbd: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130
    return code


def _open_standard_streams() -> None:
    """Where one was closed by whoever started us, open /dev/null there: a socket must not take its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hbd",
        description="The daemon of hbd, a self-hosted server monitor.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"hbd {__version__}")
    parser.set_defaults(config=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def parser_of(name: str, text: str, parent: Any) -> Any:
        made = parent.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.add_argument(
            "-c", "--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="the config file"
        )
        return made

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str, parent: Any = commands) -> Any:
        made = parser_of(name, text, parent)
        made.set_defaults(run=run)
        return made

    def group(name: str, text: str) -> Any:
        return parser_of(name, text, commands).add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = command("run", _run, "run the daemon in the foreground")
    run.add_argument("--with-agent", action="store_true", help="also run an agent for this machine")
    run.add_argument("--port", type=int, metavar="N", help="HTTP port instead of hbd_port; 0 takes any free one")
    command("check-config", _check_config, "say everything that is wrong with the config")
    command("reload", _reload, "have the running daemon read its config again")
    verbs = group("agent", "enrol hosts and manage their keys")
    add = command("add", _agent_add, "enrol a host and print the key of its agent, which is shown only now", verbs)
    add.add_argument("name", metavar="NAME")
    listing = command("list", _agent_list, "list the hosts with their agents", verbs)
    listing.add_argument("--json", action="store_true", help="as one JSON document")
    rotate = command("rotate", _agent_rotate, "print a new key; the old one works for another day", verbs)
    rotate.add_argument("name", metavar="NAME")
    revoke = command("revoke", _agent_revoke, "make the key of a host worthless at once", verbs)
    revoke.add_argument("name", metavar="NAME")
    remove = command("remove", _agent_remove, "delete a host with its key and all that is stored of it", verbs)
    remove.add_argument("name", metavar="NAME")
    cli_backup.add_commands(command)
    cli_settings.add_commands(command)
    cli_explain.add_command(command)
    cli_people.add_commands(command, group)
    return parser


# --------------------------------------------------------------------------------------------------------------- run


def _run(options: argparse.Namespace) -> int:
    config = config_of(options)
    overridden: dict[str, Any] = {}
    if options.port is not None:
        if not 0 <= options.port <= 65535:
            print("hbd: --port: 0 to 65535 is allowed", file=sys.stderr)
            return USAGE
        overridden = _ports(options.port, config)
        config = msgspec.structs.replace(config, **overridden)
    logs.configure(config.log.level, config.log.format)
    os.umask(0o077)
    _raise_descriptor_limit()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(config, options.with_agent, overridden))


def _ports(port: int, config: Config) -> dict[str, int]:
    """What ``--port`` sets; with any free HTTP port, the other ports are any free ones too."""
    others = ["hb_port", "ws_port"] + (["wss_port"] if config.wss_port is not None else [])
    return {"hbd_port": port} | (dict.fromkeys(others, 0) if port == 0 else {})


async def _serve(config: Config, with_agent: bool, overridden: dict[str, Any]) -> int:
    from hbd.daemon import Daemon

    daemon = Daemon(config, with_agent=with_agent, overridden=overridden)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():  # asked twice: at once, then; what is on disk is safe
            os._exit(FAILED)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    reloads: set[asyncio.Task[Any]] = set()

    def reload() -> None:
        if len(reloads) < 2:  # one that runs and one that will see all that was changed meanwhile
            task = asyncio.create_task(daemon.reload())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

    hung_up = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, hung_up.set)
    try:
        await daemon.start()
    except OSError as error:
        raise HbdError(_told(error, config)) from error
    loop.add_signal_handler(signal.SIGHUP, reload)
    if hung_up.is_set():  # while it was starting
        reload()
    _announce(daemon.urls, daemon.feed_urls, daemon.heartbeat_urls, config, daemon.setup_urls())
    _tell_systemd("READY=1")
    ends = [asyncio.create_task(event.wait()) for event in (stopping, daemon.failed)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        end.cancel()
    _tell_systemd("STOPPING=1")
    logging.getLogger(__name__).info("stopping")
    try:
        await asyncio.wait_for(daemon.stop(), STOP_SECONDS)
    except TimeoutError:
        logging.getLogger(__name__).error("not everything stopped within %g s", STOP_SECONDS)
        os._exit(FAILED)
    return FAILED if daemon.failed.is_set() else OK


def _told(error: OSError, config: Config) -> str:
    """Why the start failed, in words that name the place."""
    if error.filename is None:
        return error.strerror or str(error)
    return f"no place for the database {config.database}: {error.strerror}: {error.filename}"


def _announce(urls: list[str], feed: list[str], heartbeats: list[str], config: Config, setup_urls: list[str]) -> None:
    lines = [
        f"hbd {__version__} is running",
        f"  web         {'  '.join(map(from_here, urls))}",
        f"  live feed   {'  '.join(map(from_here, feed))}",
        f"  heartbeats  {'  '.join(map(from_here, heartbeats))}",
        f"  config      {config.source or 'built-in defaults (no config file found)'}",
        f"  database    {config.database}",
    ]
    if setup_urls:
        lines.append("  first user  " + "\n          or  ".join(setup_urls))
        lines.append("              works once; until then nobody has to sign in")
    if urls != list(map(from_here, urls)):
        port = urls[0].rsplit(":", 1)[1].strip("/")
        scheme = "https" if config.hbd_tls else "http"
        elsewhere = config.base_url or f"{scheme}://{socket.gethostname()}:{port}/"
        lines.insert(2, f"              on all interfaces; from other machines {elsewhere}")
    try:
        print("\n".join(lines), flush=True)
    except OSError:
        pass  # nobody reads our output; that is no reason not to serve


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _raise_descriptor_limit() -> None:
    """Each agent holds a connection: take as many descriptors as we may have."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            logging.getLogger(__name__).warning("only %d files and connections can be open at a time", soft)


def _tell_systemd(state: str) -> None:
    """sd_notify(3), where systemd waits for it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
    except OSError as error:
        logging.getLogger(__name__).warning("systemd could not be told %s: %s", state, error)


# ------------------------------------------------------------------------------------------------------------ config


def _check_config(options: argparse.Namespace) -> int:
    from hbd.channels import configured

    config = config_of(options)
    if problems := configured.problems(config):
        raise ConfigError(problems)
    expiry = tls.load(config.certificate).warning(time.time()) if config.certificate else None
    names = [*unknown_channels(config), *_unknown_people(config)]
    for warning in [*config.warnings, *names, *([expiry] if expiry else [])]:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{config.source or 'no config file found: the built-in defaults hold'}: ok")
    return OK


def _unknown_people(config: Config) -> list[str]:
    """Names in the config that no user has: neither one of the config, nor one made in hbd or let in from outside."""
    from hbd import control
    from hbd.host_access import nobodies
    from hbd.store.accounts import names_of_others
    from hbd.store.database import holder_of

    try:
        if holder_of(config.database) is not None:
            others = [
                user["username"] for user in control.ask(config.database, "user list") if user["source"] != "config"
            ]
        else:
            others = names_of_others(config.database)
    except (HbdError, OSError) as error:
        return [f"users: the names of people were not looked at: {error}"]
    known = {name.lower() for name in (*others, *config.users)}
    return nobodies(config, lambda name: name.lower() in known) if known else []


def _reload(options: argparse.Namespace) -> int:
    from hbd import control
    from hbd.store.database import holder_of

    # The config may be broken just now; the running daemon has to be found all the same, to say what is wrong.
    try:
        config = config_of(options)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        print("hbd: nothing was reloaded; a running daemon keeps its config", file=sys.stderr)
        return FAILED
    if holder_of(config.database) is None:
        print(f"hbd: no daemon is running on {config.database}", file=sys.stderr)
        return FAILED
    result = control.ask(config.database, "reload")
    for problem in result["problems"]:
        print(problem, file=sys.stderr)
    if not result["ok"]:
        return FAILED
    source = result["config_file"]
    print(f"reloaded {source}" if source else "the daemon runs without a config file; restart it to use one")
    if result["restart_needed"]:
        print(f"takes effect after a restart: {', '.join(result['restart_needed'])}")
    return OK


# ------------------------------------------------------------------------------------------------------------ agents


def _agent_add(options: argparse.Namespace) -> int:
    print(ask(options, "agent add", name=options.name, by=caller()))
    return OK


def _agent_rotate(options: argparse.Namespace) -> int:
    print(ask(options, "agent rotate", name=options.name, by=caller()))
    return OK


def _agent_revoke(options: argparse.Namespace) -> int:
    ask(options, "agent revoke", name=options.name, by=caller())
    return OK


def _agent_remove(options: argparse.Namespace) -> int:
    ask(options, "agent remove", name=options.name, by=caller())
    return OK


def _agent_list(options: argparse.Namespace) -> int:
    hosts = ask(options, "agent list")
    if options.json:
        print(json.dumps(hosts, indent=2))
        return OK
    rows = [("NAME", "STATE", "KEY", "VERSION", "LAST SEEN", "AGENT ID")]
    rows += [
        (
            host["name"],
            host["state"] or "-",
            "yes" if host["key"] else "no",
            host["version"] or "-",
            local_time(host["last_seen"]),
            host["agent_id"],
        )
        for host in hosts
    ]
    print(table(rows))
    return OK
