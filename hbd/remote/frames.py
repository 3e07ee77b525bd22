"""The frames about remote control that agents send, typed and within limits; their words are in ``hbc/wire.py``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Id = Annotated[str, Meta(pattern=r"\A[a-z]{2,6}_[0-9a-f]{12,32}\Z")]
Word = Annotated[str, Meta(max_length=64)]
Line = Annotated[str, Meta(max_length=1024)]
Text = Annotated[str, Meta(max_length=512 << 10)]
Bytes = Annotated[int, Meta(ge=0)]
Amount = Annotated[int, Meta(ge=0, le=1 << 53)] | Annotated[float, Meta(ge=0, le=1 << 53)]


class OfferedCommand(Struct):
    name: Word
    risk: Literal["low", "medium", "high"] = "medium"
    title: Line = ""


class OfferedRoot(Struct):
    path: Line
    writable: bool = False


class Policy(Struct):
    """What a host lets the daemon do. programs, services: null means any. problem: why it lets it do nothing although
    its config says more."""

    commands: Annotated[list[OfferedCommand], Meta(max_length=200)] = []
    programs: Annotated[list[Line], Meta(max_length=200)] | None = None
    services: Annotated[list[Line], Meta(max_length=200)] | None = None
    log_units: Annotated[list[Line], Meta(max_length=200)] = []
    log_paths: Annotated[list[Line], Meta(max_length=200)] = []
    file_roots: Annotated[list[OfferedRoot], Meta(max_length=200)] = []
    limits: Annotated[dict[Word, Amount], Meta(max_length=100)] = {}
    user: Word = ""
    problem: Line = ""


class Offers(Struct, tag="offers"):
    journal: Word
    policy: Policy


class Started(Struct, tag="started"):
    id: Id


class Output(Struct, tag="output"):
    id: Id
    stream: Literal["stdout", "stderr"]
    text: Text


class Result(Struct, tag="result"):
    id: Id
    status: Literal["done", "failed", "timeout", "rejected"]
    cmd: Word = ""
    exit_code: int | None = None
    stdout: Text = ""
    stderr: Text = ""
    truncated: bool = False
    reason: Line = ""
    started: float | None = None
    finished: float | None = None


class Unopened(Struct, tag="unopened"):
    id: Id
    code: Literal["denied", "missing", "busy", "large", "conflict", "failed"]
    reason: Line = ""


RemoteFrame = Offers | Started | Output | Result | Unopened
Frame = dict[str, Any]
"""what goes to an agent"""
