"""Who gets in where: the expectations for every route, written down by hand in the words of the contract."""

from __future__ import annotations

import matrix_agents
import matrix_availability
import matrix_grafana
import matrix_processes
import matrix_receivers
import matrix_remote
from callers import ALPHA, BETA, OTHER_USER, UNKNOWN_HOST
from questions import (
    ADMINS,
    ADMINS_THEMSELVES,
    CALLERS,
    EVERYWHERE,
    FOREIGN,
    HELD_BACK,
    MANAGERS,
    MANAGERS_OF_ALPHA,
    MANAGERS_OF_BETA,
    MONITORS,
    NO_USER,
    OPERATORS,
    OTHER,
    OWN,
    OWN_ACCOUNT,
    OWNERS,
    PEOPLE,
    SELF,
    SIGNED_IN,
    UNKNOWN,
    WINDOW,
    Question,
    anybody,
    only,
    user,
)
from world import PASSWORD

from hbc.wire import LINK_PATH

MATRIX: dict[str, list[Question]] = {
    # hosts
    "GET /api/0/hosts": only(SIGNED_IN),
    "GET /api/0/hosts/{host}": [Question(MONITORS)],
    "GET /api/0/hosts/{host}/plugins": [Question(MONITORS)],
    "GET /api/0/hosts/{host}/history": [Question(MONITORS, query="?metric=cpu_monitor.cpu_percent")],
    "GET /api/0/history": [Question(MONITORS, query="?metric=cpu_monitor.cpu_percent&hosts={host}")],
    "GET /api/0/hosts/{host}/plugins/{plugin}": [
        Question(MONITORS, path={"plugin": "cpu_monitor"}),
        Question(MONITORS, 404, path={"plugin": "none"}),
    ],
    "GET /api/0/hosts/{host}/alerts": [Question(MONITORS)],
    "GET /api/0/hosts/{host}/access": [Question(MONITORS)],
    "PUT /api/0/hosts/{host}/access": [
        # Names that nobody has: whoever may do it is let in as far as that, and nothing changes.
        Question(MANAGERS, 400, body={"monitors": ["nobody"]}),
        Question(OWNERS, 400, body={"managers": ["nobody"]}),
        Question(OWNERS, 400, body={"owner": "nobody", "monitors": ["monitor"]}),
    ],
    "GET /api/0/alerts": only(SIGNED_IN),
    "GET /api/0/alerts/history": [*only(SIGNED_IN), Question(MONITORS, query="?host={host}")],
    "POST /api/0/hosts/{host}/alerts/acknowledge": [
        Question(
            {
                OWN: MONITORS[OWN] - {"read token"},
                FOREIGN: MONITORS[FOREIGN] - {"read token"},
                UNKNOWN: SIGNED_IN,
            },
            404,
            body={"metric_path": "none.such"},
        )
    ],
    "DELETE /api/0/hosts/{host}/alerts/acknowledge": [
        Question(
            {
                OWN: MONITORS[OWN] - {"read token"},
                FOREIGN: MONITORS[FOREIGN] - {"read token"},
                UNKNOWN: SIGNED_IN,
            },
            404,
            body={"metric_path": "none.such"},
        )
    ],
    "GET /api/0/notifications": only(SIGNED_IN),
    "GET /api/0/notifications/dead": only(SIGNED_IN),
    "POST /api/0/notifications/dead/{id}/resend": only(SIGNED_IN - {"read token"}, 404, path={"id": "p:ops"}),
    "DELETE /api/0/notifications/dead/{id}": only(SIGNED_IN - {"read token"}, 404, path={"id": "p:ops"}),
    "GET /api/0/notification_routes": only(ADMINS),
    "POST /api/0/notification_routes": only(
        ADMINS - {"read token"}, 400, body={"name": "night", "channels": ["none such"]}
    ),
    "PUT /api/0/notification_routes/{id}": only(
        ADMINS - {"read token"}, 400, path={"id": "0"}, body={"name": "night", "channels": ["none such"]}
    ),
    "DELETE /api/0/notification_routes/{id}": only(ADMINS - {"read token"}, 404, path={"id": "0"}),
    "GET /api/0/silences": only(SIGNED_IN),
    "POST /api/0/silences": [
        *only(EVERYWHERE, 201, body={"hosts": ["*"], "reason": "all of it", "duration": "1h"}),
        *only(EVERYWHERE, 201, body={"tags": ["prod"], "reason": "all of it", "duration": 60}),
        # Who may not do it is told so before what is wrong with the rest.
        *only(MANAGERS_OF_ALPHA, 400, body={"hosts": [ALPHA], "reason": "for no time", "duration": 0}),
        *only(MANAGERS_OF_BETA, 400, body={"hosts": [BETA], "reason": "for no time", "duration": 0}),
        *only(EVERYWHERE, 400, body={"hosts": [ALPHA, BETA], "reason": "for no time", "duration": 0}),
        *only(EVERYWHERE, 400, body={"hosts": [UNKNOWN_HOST], "reason": "for no time", "duration": 0}),
    ],
    "DELETE /api/0/silences/{id}": only(SIGNED_IN - {"read token"}, 404, path={"id": "0"}),
    "GET /api/0/windows": only(SIGNED_IN),
    "POST /api/0/windows": [
        *only(EVERYWHERE, 201, body={"hosts": ["*"], **WINDOW}),
        *only(MANAGERS_OF_ALPHA, 201, body={"hosts": [ALPHA], **WINDOW}),
        *only(MANAGERS_OF_BETA, 201, body={"hosts": [BETA], **WINDOW}),
        *only(EVERYWHERE, 201, body={"hosts": [ALPHA, BETA], **WINDOW}),
        *only(EVERYWHERE, 201, body={"hosts": [UNKNOWN_HOST], **WINDOW}),
    ],
    "PUT /api/0/windows/{id}": only(SIGNED_IN - {"read token"}, 404, path={"id": "0"}, body={"hosts": ["*"], **WINDOW}),
    "DELETE /api/0/windows/{id}": only(SIGNED_IN - {"read token"}, 404, path={"id": "0"}),
    # channels
    "GET /api/0/notification_channel_types": only(SIGNED_IN),
    "GET /api/0/notification_channels": only(SIGNED_IN),
    "POST /api/0/notification_channels": only(PEOPLE | {"write token"}, 400, body={"name": "mine"}),
    "GET /api/0/notification_channels/{name}": only(SIGNED_IN, 404, path={"name": "none"}),
    "PUT /api/0/notification_channels/{name}": only(
        PEOPLE | {"write token"}, 404, path={"name": "none"}, body={"private": True}
    ),
    "DELETE /api/0/notification_channels/{name}": only(PEOPLE | {"write token"}, 404, path={"name": "none"}),
    "POST /api/0/notification_channels/{name}/test": only(PEOPLE | {"write token"}, 404, path={"name": "none"}),
    "GET /api/0/explain": [Question(MONITORS, query="?host={host}&metric=cpu_monitor.cpu_percent")],
    "GET /api/0/messages": [*only(SIGNED_IN), Question(MONITORS, query="?host={host}")],
    # users
    "GET /api/0/users": only(ADMINS),
    "POST /api/0/users": only(ADMINS_THEMSELVES, 409, body={"username": OTHER_USER}),
    "GET /api/0/users/{user}": user(ADMINS),
    "PUT /api/0/users/{user}": user(ADMINS_THEMSELVES, body={"full_name": "Somebody"}),
    "DELETE /api/0/users/{user}": user(ADMINS_THEMSELVES, 409),  # users of the config stay
    "DELETE /api/0/users/{user}/sessions": user(ADMINS_THEMSELVES),
    "DELETE /api/0/users/{user}/second_factor": [
        # The own one goes with a code alone, and another has none.
        Question({SELF: frozenset(), OTHER: ADMINS_THEMSELVES, NO_USER: ADMINS_THEMSELVES}, 409)
    ],
    "GET /api/0/users/{user}/tokens": user(ADMINS_THEMSELVES),
    "DELETE /api/0/users/{user}/tokens": user(ADMINS_THEMSELVES),
    "DELETE /api/0/users/{user}/tokens/{id}": user(ADMINS_THEMSELVES, 404, path={"id": "0"}),
    # the own account
    "GET /api/0/users/me": only(SIGNED_IN | HELD_BACK),
    "PUT /api/0/users/me": only(OWN_ACCOUNT | {"write token"}, body={"full_name": "Me"}),
    "GET /api/0/users/me/sessions": only(OWN_ACCOUNT),
    "DELETE /api/0/users/me/sessions": only(OWN_ACCOUNT),
    "DELETE /api/0/users/me/sessions/{id}": only(OWN_ACCOUNT, 404, path={"id": "0"}),
    "GET /api/0/users/me/tokens": only(OWN_ACCOUNT),
    "POST /api/0/users/me/tokens": only(PEOPLE, 201, body={"name": "script"}),
    "DELETE /api/0/users/me/tokens/{id}": only(OWN_ACCOUNT, 404, path={"id": "0"}),
    "POST /api/0/users/me/second_factor": [
        Question({"": OWN_ACCOUNT - {"operator"}}, body={"password": PASSWORD}),
        Question({"": OWN_ACCOUNT & {"operator"}}, 409, body={"password": PASSWORD}),
    ],
    "PUT /api/0/users/me/second_factor": only(OWN_ACCOUNT, 409, body={"code": "000000"}),
    "DELETE /api/0/users/me/second_factor": only(OWN_ACCOUNT - {"operator"}, 409, body={"code": "000000"}),
    # the daemon
    "GET /api/0/audit": only(ADMINS),
    "GET /api/0/status": only(OPERATORS),
    "GET /api/0/openapi.json": only(SIGNED_IN),
    "GET /metrics": only(SIGNED_IN),
    "GET /healthz": anybody(),
    "GET /readyz": anybody(),
    "GET /hbd": only(SIGNED_IN),
    f"GET {LINK_PATH}": anybody(426),
    # signing in
    "POST /api/0/auth/login": anybody(body={"username": "viewer", "password": PASSWORD}),
    "POST /api/0/auth/logout": only(OWN_ACCOUNT | {"write token"}),
    "GET /login": [
        Question({"": CALLERS - OWN_ACCOUNT}),
        Question({"": OWN_ACCOUNT}, 303),
    ],
    "POST /login": anybody(303, form={"username": "viewer", "password": PASSWORD}),
    "GET /login/oidc": anybody(404),  # no provider is configured
    "GET /login/oidc/callback": anybody(404),
    "GET /logout": anybody(303),
    "POST /logout": anybody(303, form={}),
    "GET /setup/{token}": anybody(404, path={"token": "x"}),
    "POST /setup/{token}": anybody(404, path={"token": "x"}, form={"username": "eve", "password": PASSWORD}),
    # pages
    "GET /": anybody(302),
    "GET /live": only(SIGNED_IN),
    "GET /alerts": only(SIGNED_IN),
    "GET /plugins": only(SIGNED_IN),
    "GET /agents": only(SIGNED_IN),
    "GET /agents/deploy": only(ADMINS),
    "GET /agent/{agent}": [Question(MONITORS)],
    "GET /history": [
        *only(SIGNED_IN),
        Question({OWN: MONITORS[OWN], FOREIGN: MONITORS[FOREIGN]}, query="?host={host}"),
        Question(
            {OWN: SIGNED_IN - MONITORS[OWN], FOREIGN: SIGNED_IN - MONITORS[FOREIGN], UNKNOWN: SIGNED_IN},
            404,
            query="?host={host}",
        ),
    ],
    "GET /silences": only(SIGNED_IN),
    "GET /channels": only(SIGNED_IN),
    "GET /routes": only(ADMINS),
    "GET /access": only(SIGNED_IN),
    "GET /api": only(SIGNED_IN),
    "GET /profile": only(SIGNED_IN | HELD_BACK),
    "GET /status": only(OPERATORS),
    "GET /users": only(ADMINS),
    "GET /audit": only(ADMINS),
    "GET /static/{path}": anybody(404, path={"path": "none.css"}),
    **matrix_agents.MATRIX,
    **matrix_remote.MATRIX,
    **matrix_receivers.MATRIX,
    **matrix_processes.MATRIX,
    **matrix_grafana.MATRIX,
    **matrix_availability.MATRIX,
}
