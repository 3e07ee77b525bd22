"""The rows of the table of routes about remote control: commands, logs, files."""

from __future__ import annotations

from hbc.wire import STREAM_PATH
from hbd.access import Action
from hbd.web import agent_stream, commands, files, live_metrics, logs, uploads
from hbd.web.call import EVENTS, Kind, Route

BYTES = "application/octet-stream"

STREAM_ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/api/agents/{agent}/stream/logs", logs.stream, Action.REMOTE,
        summary="A log of a host, each line an event as it is written. Named events: `skipped` (lines and bytes that "
        "came too fast), `notice` (the file was rotated, truncated, deleted), `error`, `end`.",
        kind=Kind.STREAM, media=EVENTS, query=logs.LogQuery, statuses=(404, 409, 429, 502, 503),
    ),
    Route(
        "GET", "/api/agents/{agent}/stream/metrics", live_metrics.stream, Action.VIEW,
        summary="The newest numbers of a host, every five seconds.",
        kind=Kind.STREAM, media=EVENTS, statuses=(404, 429),
    ),
    Route(
        "GET", "/api/agents/{agent}/files", files.download, Action.REMOTE,
        summary="A file of a host. Takes `Range`, so that a download can be gone on with.",
        query=files.FileQuery, media=BYTES, statuses=(409, 413, 416, 502, 503),
    ),
    Route(
        "POST", "/api/agents/{agent}/files", uploads.upload, Action.REMOTE,
        summary="Put a file on a host, as a form (`multipart/form-data`) with `dest` and `file`; in parts with "
        "`upload`, `offset` and `total` before the file.",
        answer=uploads.Uploaded, form=True, statuses=(400, 409, 413, 415, 502, 503),
    ),
    Route(
        "GET", "/api/agents/{agent}/files/upload", uploads.arrived, Action.REMOTE,
        summary="How much of an upload in parts is there.",
        query=uploads.UploadQuery, answer=uploads.Arrived, statuses=(409, 502, 503),
    ),
    Route(
        "GET", "/api/agents/{agent}/files/list", files.folder, Action.REMOTE,
        summary="What is in a folder of a host; without `path` the folders that its config allows.",
        query=files.FolderQuery, answer=files.Folder, statuses=(409, 502, 503),
    ),
    Route(
        "GET", STREAM_PATH, agent_stream.serve, Action.ENTER,
        summary="Where an agent connects with a log or a file that it was asked for; the stream's token proves it.",
        kind=Kind.STREAM, statuses=(403, 404), limited=False,
    ),
)  # fmt: skip

COMMAND_ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/api/agents/{agent}/policy", commands.policy, Action.REMOTE,
        summary="What the host lets itself be asked, as its agent said last.", answer=commands.Offered,
    ),
    Route(
        "GET", "/api/agents/{agent}/commands", commands.index, Action.REMOTE,
        summary="The last 100 commands, newest first; long outputs are cut.", answer=list[commands.CommandView],
    ),
    Route(
        "POST", "/api/agents/{agent}/commands", commands.create, Action.REMOTE,
        summary="Have the agent do something; what has a high risk is for admins.",
        body=commands.NewCommand, answer=commands.Queued, statuses=(429, 503),
    ),
    Route(
        "GET", "/api/agents/{agent}/commands/{id}", commands.show, Action.REMOTE,
        summary="One command with all of its output.", answer=commands.CommandView,
    ),
    Route(
        "DELETE", "/api/agents/{agent}/commands/{id}", commands.cancel, Action.REMOTE,
        summary="Have a command not begin, or end it.", answer=commands.CommandView, statuses=(409, 503),
    ),
    Route(
        "GET", "/api/agents/{agent}/commands/{id}/stream", commands.stream, Action.REMOTE,
        summary="A command as it goes on: events `status`, `output` and at the end `result`.",
        kind=Kind.STREAM, media=EVENTS, statuses=(404, 429),
    ),
)  # fmt: skip

ROUTES: tuple[Route, ...] = (*COMMAND_ROUTES, *STREAM_ROUTES)
