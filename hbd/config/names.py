"""Names in a config that it does not explain itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hbd.config.structs import ConfigFile


def named_channels(config: ConfigFile) -> Iterator[tuple[str, str]]:
    """(key, channel) of all that leads messages to a channel."""
    for kind, sections in (("hosts", config.hosts), ("users", config.users)):
        for name, section in sections.items():
            for channel in section.notification_channels:
                yield f"{kind}.{name}.notification_channels", channel
    for name, route in config.notification_routes.items():
        for channel in route.channels:
            yield f"notification_routes.{name}.channels", channel
    if config.notifications.fallback is not None:
        yield "notifications.fallback", config.notifications.fallback
    for channel in config.notifications.about_hbd:
        yield "notifications.about_hbd", channel


def unknown_channels(config: ConfigFile) -> list[str]:
    """``hosts.web1.notification_channels: there is no channel ops in this file …``: where it is named first."""
    places: dict[str, str] = {}
    for key, channel in named_channels(config):
        if channel not in config.notification_channels:
            places.setdefault(channel, key)
    return [
        f"{place}: there is no channel {channel} in this file; it has to be one made in hbd"
        for channel, place in places.items()
    ]
