"""Which threshold configs hold for a host, and by whose word."""

from __future__ import annotations

from typing import NamedTuple

from hbd.config.structs import Config
from hbd.matching import Tagged

DEFAULT_NAME = "default"


class Layer(NamedTuple):
    """A threshold config that holds for a host. because: the key that says so, "" for ``default`` by itself."""

    config: str
    because: str = ""


def threshold_layers(config: Config, host: Tagged) -> list[Layer]:
    """The weakest first: ``default``, what is assigned in the order of the file, what the host's section names.

    A section that names configs and not ``default`` leaves that out. A config that is named twice counts where it is
    the strongest, but for ``default`` at the bottom.
    """
    section = config.hosts_by_name.get(host.name.lower())
    key = f"hosts.{host.name}.threshold_config"
    own = [Layer(name, key) for name in section.threshold_config] if section is not None else []
    bottom = own[:1] if own and own[0].config == DEFAULT_NAME else [] if own else [Layer(DEFAULT_NAME)]
    assigned = [
        Layer(name, f"threshold_assignments.{assignment}")
        for assignment, matcher, names in config.threshold_matchers
        if matcher.about_host(host)
        for name in names
        if not (bottom and name == DEFAULT_NAME)
    ]
    layers = [*bottom, *assigned, *(own[1:] if bottom and own else own)]
    return list({layer.config: layer for layer in reversed(layers)}.values())[::-1]
