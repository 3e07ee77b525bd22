"""The rows of the table of routes about watched processes: at the addresses of the processes API, and beside ours."""

from __future__ import annotations

from collections.abc import Iterator

from hbd.access import Action
from hbd.web import process_view, processes, servers
from hbd.web.call import Route


def _rows(prefix: str) -> Iterator[Route]:
    yield Route(
        "GET", f"{prefix}/servers", servers.index, Action.VIEW,
        summary="All hosts, with the numbers they have here.", answer=process_view.ServerList,
    )  # fmt: skip
    yield Route(
        "GET", f"{prefix}/servers/{{server}}", servers.show, Action.VIEW,
        summary="One of them, by number or name.", answer=process_view.OneServer,
    )  # fmt: skip
    yield Route(
        "GET", f"{prefix}/servers/{{server}}/processes", processes.index, Action.VIEW,
        summary="The watched processes of a host.", answer=process_view.ProcessList,
    )  # fmt: skip
    yield Route(
        "POST", f"{prefix}/servers/{{server}}/processes", processes.create, Action.MANAGE,
        summary="Watch a process.",
        reads=process_view.NewProcess, answer=process_view.OneProcess, status=201, statuses=(400, 402, 409),
    )  # fmt: skip
    yield Route(
        "GET", f"{prefix}/servers/{{server}}/processes/{{id}}", processes.show, Action.VIEW,
        summary="A watched process with its last samples.", answer=process_view.ProcessDetail,
    )  # fmt: skip
    yield Route(
        "PUT", f"{prefix}/servers/{{server}}/processes/{{id}}", processes.update, Action.MANAGE,
        summary="Change a watched process; what is left out stays.",
        reads=process_view.ProcessChange, answer=process_view.OneProcess, statuses=(400, 409),
    )  # fmt: skip
    yield Route(
        "DELETE", f"{prefix}/servers/{{server}}/processes/{{id}}", processes.delete, Action.MANAGE,
        summary="Watch a process no more.", answer=process_view.Gone,
    )  # fmt: skip


ROUTES: tuple[Route, ...] = (*_rows("/api/0"), *_rows(""))
