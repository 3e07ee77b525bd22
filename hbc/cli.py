"""The command line of the agent. Exit codes: 0 ok, 1 failed, 2 wrong usage."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from hbc import __version__

if TYPE_CHECKING:  # each command imports what it needs: ``hbc --version`` should cost nothing
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hbc.collect import Collector
    from hbc.config import Config
    from hbc.identity import Identity
    from hbc.plugins.build import Entry
    from hbc.spool import Spool
    from hbc.trial import Trial

T = TypeVar("T")

_EXAMPLES = """\
examples:
  hbc once                            what this machine would report, now
  hbc run                             report to hbd on this machine
  hbc run --server https://mon.example:50004 --key-file /etc/hbc/key
  hbc check-config -c /etc/hbc/config.yaml

The config file is the one given with -c, else $HBC_CONFIG, ./hbc.yaml, ~/.config/hbc/config.yaml,
/etc/hbc/config.yaml; without any the defaults hold. The key may also come from $HBC_KEY, which unlike --key
no other user can see in the list of processes.
"""


class Failed(Exception):
    """The command cannot do what it should; the text says why, in lines for the user."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough. Nothing may be flushed there at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hbc",
        description="The agent of hbd: measures this machine and tells the daemon.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"hbc {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.add_argument("-c", "--config", metavar="FILE", help="config file")
        sub.set_defaults(command=run)
        return sub

    run = command("run", _run, "measure and report, in the foreground, until stopped")
    run.add_argument("--server", metavar="URL", action="append", type=_checked("server_url"), help="daemon; repeatable")
    run.add_argument("--key", type=_checked("key_text"), help="agent key; visible to other users here, see --key-file")
    run.add_argument("--key-file", metavar="FILE", help="file with the agent key; a key handed out is kept there")
    trust = run.add_mutually_exclusive_group()
    trust.add_argument("--ca-file", metavar="FILE", help="PEM of the authority to trust instead of the system's")
    trust.add_argument("--pin-file", metavar="FILE", help="PEM of the server's own certificate, to trust it alone")
    run.add_argument("--name", type=_checked("host_name"), help="name of this host; default: the machine's")
    run.add_argument("--interval", metavar="TIME", type=_checked("interval"), help="between reports: 10, 90s, 5m")
    run.add_argument("-v", "--verbose", action="store_true", help="tell more in the log")
    command("once", _once, "collect once and print it as JSON; nothing is sent")
    plugins = command("plugins", _plugins, "list what can be measured here, and whether it works")
    plugins.add_argument("names", nargs="*", metavar="NAME", help="show the metrics of these, with units")
    command("policy", _policy, "what hbd may do on this machine, by the config file")
    command("check-config", _check_config, "check the config file and the plugins; every problem is listed")
    commands.add_parser("self-test").set_defaults(command=_self_test)  # for update.py, of the version that is to come
    return parser


def _checked(check: str) -> Callable[[str], Any]:
    """An argument checked as the config file's value is."""

    def convert(text: str) -> Any:
        from hbc import config

        try:
            return getattr(config, check)(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


# ------------------------------------------------------------------------------------------------------------- commands


def _run(options: argparse.Namespace) -> int:
    from hbc.logs import set_up

    set_up(verbose=options.verbose)
    trial = _trial()  # before anything that may be broken in a new version
    import asyncio
    import logging
    import threading

    from hbc.agent import Agent
    from hbc.spool import SpoolLocked
    from hbc.trust import TrustProblem

    config = _configured(options)
    try:
        config.trust.context()
    except TrustProblem as problem:
        raise Failed(f"hbc: {config.locate(str(problem))}") from None
    identity, spool = _state(config, options.key or os.environ.get("HBC_KEY"))
    log = logging.getLogger("hbc")
    log.info("version %s, host %s, reporting to %s", __version__, config.name, ", ".join(config.servers))
    if identity.key is None:
        log.info("%s: asking to be enrolled", identity.about_key)

    async def work() -> Path | None:
        agent = Agent(config, identity, spool, trial)
        await agent.run()
        return agent.fresh

    loop = asyncio.new_event_loop()
    try:
        fresh = loop.run_until_complete(work())
    except SpoolLocked as error:
        raise Failed(f"hbc: {error}") from None
    if fresh is not None:
        _begin_anew(fresh)
    if trial is not None:
        trial.close()  # not before: what is about to be put in place is on trial with the next start, and ours
    if len(threading.enumerate()) > 1:
        # A look-up of a name or a plugin hangs in a thread; the interpreter would wait for it, we need not.
        logging.shutdown()
        os._exit(0)
    loop.close()
    return 0


def _trial() -> Trial | None:
    """Of the package that runs; None when there is none, or no state."""
    import logging

    from hbc.identity import state_directory
    from hbc.trial import Trial, package_file, run_package

    package = package_file()
    if package is None:
        return None
    try:
        return Trial(state_directory(), package, run_package)
    except OSError as error:
        logging.getLogger("hbc").error("what is known of renewals cannot be told: %s", error)
        return None


def _begin_anew(fresh: Path) -> None:
    """Put a new package in the place of the one that runs, and run that in this process. Does not return."""
    import logging

    from hbc.trial import package_file, run_package
    from hbc.update import put_in_place

    package = package_file()
    assert package is not None, "what is not a package is not renewed"
    try:
        put_in_place(fresh, package)
    except OSError as error:
        logging.getLogger("hbc").error("the new version cannot be put in place, the old one goes on: %s", error)
    run_package()


def _once(options: argparse.Namespace) -> int:
    import asyncio
    import json
    import time

    config = _configured(options)
    collector, _, problems = _collector(config)
    for problem in problems:
        print(problem, file=sys.stderr)
    report = {"host": config.name, "time": time.time(), "samples": asyncio.run(_measured(collector))}
    pretty = sys.stdout.isatty()
    text = json.dumps(report, ensure_ascii=False, indent=2 if pretty else None)
    print(text.encode(errors="replace").decode())
    for name, run in sorted(collector.runs.items()):
        if run.state != "ok":
            print(f"{name}: {run.state}: {run.reason}", file=sys.stderr)
    return 0


def _plugins(options: argparse.Namespace) -> int:
    import asyncio

    collector, entries, problems = _collector(_configured(options))
    by_name = {entry.name: entry for entry in sorted(entries, key=lambda entry: entry.name)}
    if unknown := [name for name in options.names if name not in by_name]:
        raise Failed(f"hbc: no such plugin here: {', '.join(unknown)}; there are {', '.join(by_name)}")
    if options.names:
        for name in options.names:
            _describe(by_name[name])
        return 0
    asyncio.run(_measured(collector))
    width = max((len(name) for name in by_name), default=0)
    for name, entry in by_name.items():
        run = collector.runs.get(name)
        every = f"every {entry.interval:g} s" if entry.enabled else "-"
        state = "disabled" if run is None else run.state
        note = f" ({run.reason})" if run is not None and run.reason else ""
        print(f"{name:<{width}}  {every:<12}  {state:<11}  {entry.plugin.summary}{note}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _describe(entry: Entry) -> None:
    """One plugin with what it measures and what can be set."""
    print(f"{entry.name}: {entry.plugin.summary}")
    for metric in entry.plugin.metrics:
        print(f"  {metric.name:<28}  {metric.unit:<10}  {metric.help}")
    for option, text in entry.plugin.options.items():
        print(f"  option {option:<21}  {'':<10}  {text}")


async def _measured(collector: Collector) -> list[Any]:
    """One round of everything, with the two readings that rates are made from; it waits for slow programs too."""
    import asyncio
    import math
    import time

    await collector.prime()
    await asyncio.sleep(1.0)
    return list(await collector.round(time.time(), patience=math.inf))


def _check_config(options: argparse.Namespace) -> int:
    from hbc.belongings import within_reach
    from hbc.config import ConfigError, examine, find
    from hbc.identity import KeyProblem, read_key
    from hbc.plugins.build import build
    from hbc.trust import TrustProblem

    try:
        config, problems = examine(find(options.config))
    except ConfigError as error:
        raise Failed(str(error)) from None
    more = build(config.plugins, config.plugin_dirs, config.interval)[1] + within_reach(config)
    if config.key_file is not None:
        try:
            read_key(config.key_file)
        except KeyProblem as problem:
            more.append(f"key_file: {problem}")
    try:
        config.trust.context()
    except TrustProblem as problem:
        more.append(str(problem))
    problems += [(config.line(problem), problem) for problem in more]
    if problems:
        head = f"{config.source}:" if config.source else ""
        ordered = sorted(problems, key=lambda problem: problem[0])
        raise Failed("\n".join(f"{head}{line}: {text}" if head else text for line, text in ordered))
    print(f"{config.source or 'no config file, the defaults'}: ok")
    return 0


def _self_test(options: argparse.Namespace) -> int:
    """Load every module: what ``run`` needs is imported on first use, where one that is broken is found too late."""
    import importlib
    import pkgutil

    import hbc

    for module in pkgutil.walk_packages(hbc.__path__, "hbc."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("websockets.asyncio.client")
    print("every module can be loaded")
    return 0


def _policy(options: argparse.Namespace) -> int:
    from hbc.policy import policy_of
    from hbc.policy_text import lines

    config = _configured(options)
    policy = policy_of(config)
    for line in lines(policy.summary(), str(config.source or "no config file")):
        print(line)
    return 1 if policy.problem else 0


# ---------------------------------------------------------------------------------------------------------------- parts


def _configured(options: argparse.Namespace) -> Config:
    """The config file with the command line's words over it."""
    from pathlib import Path

    from hbc.config import ConfigError, find, load
    from hbc.trust import Trust

    try:
        config = load(find(options.config))
    except ConfigError as error:
        raise Failed(str(error)) from None
    given: dict[str, Any] = {
        "servers": tuple(getattr(options, "server", None) or ()),
        "name": getattr(options, "name", None),
        "interval": getattr(options, "interval", None),
    }
    config = replace(config, **{key: value for key, value in given.items() if value})
    if getattr(options, "key_file", None):
        config = replace(config, key=None, key_file=Path(options.key_file))
    if getattr(options, "ca_file", None):
        config = replace(config, trust=Trust(ca_file=Path(options.ca_file)))
    if getattr(options, "pin_file", None):
        config = replace(config, trust=Trust(pin_file=Path(options.pin_file)))
    return config


def _state(config: Config, key: str | None) -> tuple[Identity, Spool]:
    """key: from outside the config file; wins over it."""
    import logging

    from hbc.config import key_text
    from hbc.identity import Identity, KeyProblem, read_key, state_directory
    from hbc.spool import Spool

    log = logging.getLogger("hbc")
    try:
        state = state_directory()
    except OSError as error:
        raise Failed(f"hbc: no place for its state: {error}") from None
    key_file = config.key_file or state / "key"
    source = "--key or $HBC_KEY" if key else str(config.source) if config.key else ""
    try:
        key = key_text(key) if key else config.key or read_key(key_file)
    except (ValueError, KeyProblem) as problem:
        raise Failed(f"hbc: {problem}") from None
    if config.key and config.source is not None and config.source.stat().st_mode & 0o077:
        log.warning("%s holds a key and others may read it; run: chmod 600 %s", config.source, config.source)
    identity = Identity(state, key, key_file, source)
    try:
        identity.note_start()
    except OSError as error:
        log.warning("whether the machine booted since the last start is not known: %s", error)
    path = config.spool.path or state / "spool"
    return identity, Spool(path, max_bytes=config.spool.max_bytes, max_age=config.spool.max_age)


def _collector(config: Config) -> tuple[Collector, list[Entry], list[str]]:
    """What collects, the plugins that there are, and what is wrong with those that were left out."""
    from hbc.collect import Collector
    from hbc.plugins.build import build

    facts: dict[str, Any] = {}
    entries, problems = build(config.plugins, config.plugin_dirs, config.interval, facts)
    return Collector(entries, facts), entries, [config.locate(problem) for problem in problems]
