"""The rows of the table of routes about remote control: commands, logs, files."""

from __future__ import annotations

from hbd.web.call import Route

ROUTES: tuple[Route, ...] = ()
