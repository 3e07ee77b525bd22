"""The rows of the table of routes about agents: what there is, keys, deploying and installing them."""

from __future__ import annotations

from hbd.access import Action
from hbd.web import agent_view, agents, deploy, install, noba, schemas
from hbd.web.call import EVENTS, Kind, Route

ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/api/agents", agents.index, Action.VIEW,
        summary="All hosts with the agents on them.", answer=list[agent_view.Agent],
    ),
    Route(
        "POST", "/api/agents", agents.create, Action.ADMIN,
        summary="Enrol a host; its key is shown only now.",
        body=agents.NewAgent, answer=agents.EnrolledAgent, status=201, statuses=(409,),
    ),
    Route(
        "GET", "/api/agents/{agent}", agents.show, Action.VIEW,
        summary="One agent, by its id or its host's name, with what it measured last.", answer=agent_view.AgentDetail,
    ),
    Route(
        "PUT", "/api/agents/{agent}", agents.update, Action.MANAGE,
        summary="Change label and tags.", body=agents.AgentChange, answer=agent_view.Agent,
    ),
    Route(
        "DELETE", "/api/agents/{agent}", agents.delete, Action.ADMIN,
        summary="Delete a host with all that is stored of it.", answer=agents.Deleted,
    ),
    Route(
        "DELETE", "/api/0/hosts/{host}", agents.drop, Action.OWN,
        summary="Delete one's own host with all that is stored of it.", answer=schemas.Done,
    ),
    Route(
        "POST", "/api/agents/{agent}/key", agents.rotate_key, Action.OWN,
        summary="A new key; the one before works for another day.", answer=agents.NewKey,
    ),
    Route(
        "DELETE", "/api/agents/{agent}/key", agents.revoke_keys, Action.OWN,
        summary="Make the host's keys worthless at once.", answer=agents.RevokedKeys,
    ),
    Route(
        "POST", "/api/agents/{agent}/report", noba.report, Action.ENTER,
        summary="The report of a NOBA-style agent, its key in X-Agent-Key.",
        answer=noba.Taken, statuses=(400, 401, 403, 413, 503),
    ),
    Route(
        "POST", "/api/agent/report", noba.report, Action.ENTER,
        summary="The same, at the address that those agents know.",
        answer=noba.Taken, statuses=(400, 401, 403, 413, 503),
    ),
    Route(
        "GET", "/api/agent/ws", noba.socket, Action.ENTER,
        summary="The WebSocket of a NOBA-style agent, its key in the query.",
        kind=Kind.STREAM, query=noba.SocketQuery, statuses=(401, 403, 503), limited=False,
    ),
    Route(
        "POST", "/api/agents/deploy", deploy.deploy, Action.REMOTE_ADMIN,
        summary="Install an agent on a machine over SSH, and wait until it has reported; its key is shown only now.",
        body=deploy.NewDeployment, answer=deploy.Deployed, statuses=(409, 502, 503),
    ),
    Route(
        "GET", "/api/agents/deployments", deploy.index, Action.REMOTE_ADMIN,
        summary="The newest deployments, newest first.", answer=list[deploy.DeploymentView],
    ),
    Route(
        "POST", "/api/agents/deployments", deploy.create, Action.REMOTE_ADMIN,
        summary="Begin to install an agent on a machine over SSH.",
        body=deploy.NewDeployment, answer=deploy.Begun, status=202, statuses=(409, 503),
    ),
    Route(
        "GET", "/api/agents/deployments/{id}", deploy.show, Action.REMOTE_ADMIN,
        summary="One deployment in its steps.", answer=deploy.DeploymentView, statuses=(404,),
    ),
    Route(
        "DELETE", "/api/agents/deployments/{id}", deploy.cancel, Action.REMOTE_ADMIN,
        summary="Break a deployment off.", answer=schemas.Done, statuses=(404, 409),
    ),
    Route(
        "GET", "/api/agents/deployments/{id}/stream", deploy.stream, Action.REMOTE_ADMIN,
        summary="One deployment as it goes on: an event `deployment` at every change.",
        kind=Kind.STREAM, media=EVENTS, statuses=(404,),
    ),
    Route(
        "DELETE", "/api/agents/host_keys/{machine}", deploy.forget_host_key, Action.REMOTE_ADMIN,
        summary="Forget the recorded host keys of a machine that was installed anew.",
        query=deploy.HostKeyQuery, answer=schemas.Done, statuses=(404,),
    ),
    Route(
        "GET", "/api/agents/install-script", install.script, Action.ENTER,
        summary="A shell script that installs the agent of the host whose key that is.",
        query=install.ScriptQuery, media=install.SCRIPT, statuses=(401, 403),
    ),
    Route(
        "GET", "/api/agents/package", install.package, Action.ENTER,
        summary="The agent as one file that Python runs, for whoever shows an agent's key in X-Agent-Key.",
        media=install.PACKAGE, statuses=(401, 403),
    ),
)  # fmt: skip
