"""The rows of the table of routes about watched processes."""

from __future__ import annotations

from hbd.web.call import Route

ROUTES: tuple[Route, ...] = ()
