"""The rows of the table of routes that foreign agents report to, and what became of their reports."""

from __future__ import annotations

from hbd.web.call import Route

ROUTES: tuple[Route, ...] = ()
