"""The rows of the table of routes about agents: what there is, keys, deploying and installing them."""

from __future__ import annotations

from hbd.web.call import Route

ROUTES: tuple[Route, ...] = ()
