"""The table of all routes. The router, the question who may, the OpenAPI document and its page are made of it."""

from __future__ import annotations

from hbc.wire import LINK_PATH
from hbd.access import Action
from hbd.explanation import Explanation
from hbd.web import (
    account_pages,
    acknowledge,
    agent_pages,
    agent_routes,
    alert_pages,
    alerts,
    audit,
    availability_routes,
    channel_pages,
    channels,
    explain,
    grafana_routes,
    health,
    history,
    history_pages,
    host_access,
    host_page,
    hosts,
    hush_pages,
    job_pages,
    me,
    messages,
    notification_routes,
    notifications,
    openapi,
    pages,
    past,
    plugins,
    process_routes,
    receiver_routes,
    remote_routes,
    schemas,
    scrapes,
    signin,
    silences,
    single_sign_on,
    tokens,
    users,
    websocket,
    windows,
)
from hbd.web.call import Kind, Route

HTML = "text/html"


FEED = Route(
    "GET", "/hbd", websocket.feed, Action.VIEW,
    summary="Live feed: hosts, samples and messages as they change, over a WebSocket.",
    kind=Kind.STREAM, query=websocket.FeedQuery, statuses=(403, 503), late=True,
)  # fmt: skip

ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/api/0/hosts", hosts.index, Action.VIEW,
        summary="All hosts with their state.", query=past.AtQuery, answer=list[schemas.Host], statuses=(404,),
    ),
    Route(
        "GET", "/api/0/hosts/{host}", hosts.show, Action.VIEW,
        summary="One host with its state.", query=past.AtQuery, answer=schemas.Host,
    ),
    Route(
        "GET", "/api/0/hosts/{host}/plugins", plugins.index, Action.VIEW,
        summary="The newest sample of each plugin of a host.", query=past.AtQuery, answer=schemas.HostPlugins,
    ),
    Route(
        "GET", "/api/0/hosts/{host}/plugins/{plugin}", plugins.history, Action.VIEW,
        summary="The newest samples of one plugin, newest first.",
        query=plugins.HistoryQuery, answer=schemas.PluginHistory,
    ),
    Route(
        "GET", "/api/0/hosts/{host}/history", history.of_host, Action.VIEW,
        summary="What metrics of a host were in a span of time.",
        query=history.HistoryQuery, answer=history.History,
    ),
    Route(
        "GET", "/api/0/history", history.of_hosts, Action.VIEW,
        summary="What metrics of several hosts were, each or all together.",
        query=history.HostsHistoryQuery, answer=history.History, statuses=(404,),
    ),
    Route(
        "GET", "/api/0/alerts", alerts.index, Action.VIEW,
        summary="All alerts that are not OK.", query=alerts.AlertsQuery, answer=schemas.Alerts, statuses=(404,),
    ),
    Route(
        "GET", "/api/0/alerts/history", alerts.history, Action.VIEW,
        summary="What became of alerts, newest first.",
        query=alerts.HistoryQuery, answer=schemas.AlertHistory, statuses=(404,),
    ),
    Route(
        "GET", "/api/0/explain", explain.show, Action.VIEW,
        summary="Why a metric has its level: which threshold counts, what it saw, who was told.",
        query=explain.ExplainQuery, answer=Explanation, statuses=(404,),
    ),
    Route(
        "GET", "/api/0/hosts/{host}/alerts", alerts.of_host, Action.VIEW,
        summary="The alert states of a host.", answer=schemas.HostAlerts,
    ),
    Route(
        "POST", "/api/0/hosts/{host}/alerts/acknowledge", acknowledge.acknowledge, Action.ACKNOWLEDGE,
        summary="Say that you look after an alert.",
        body=acknowledge.Acknowledgement, answer=schemas.Done, statuses=(409,),
    ),
    Route(
        "DELETE", "/api/0/hosts/{host}/alerts/acknowledge", acknowledge.withdraw, Action.ACKNOWLEDGE,
        summary="Take that back.", body=acknowledge.Withdrawal, answer=schemas.Done, statuses=(409,),
    ),
    Route(
        "GET", "/api/0/notifications", notifications.index, Action.VIEW,
        summary="What became of messages to your channels, newest first; for admins, to all channels.",
        query=notifications.NotificationsQuery, answer=schemas.NotificationPage,
    ),
    Route(
        "GET", "/api/0/notifications/dead", notifications.dead, Action.VIEW,
        summary="What was given up, on your channels; for admins, on all.", answer=list[schemas.DeadNotice],
    ),
    Route(
        "POST", "/api/0/notifications/dead/{id}/resend", notifications.resend, Action.VIEW,
        summary="Try again what was given up.", answer=schemas.Done,
    ),
    Route(
        "DELETE", "/api/0/notifications/dead/{id}", notifications.dismiss, Action.VIEW,
        summary="Forget what was given up.", answer=schemas.Done,
    ),
    Route(
        "GET", "/api/0/notification_routes", notification_routes.index, Action.ADMIN,
        summary="Who else is told of what.", answer=list[schemas.NotificationRoute],
    ),
    Route(
        "POST", "/api/0/notification_routes", notification_routes.create, Action.ADMIN,
        summary="Add a route.",
        body=notification_routes.NewRoute, answer=schemas.ChangedRoute, status=201, statuses=(409,),
    ),
    Route(
        "PUT", "/api/0/notification_routes/{id}", notification_routes.update, Action.ADMIN,
        summary="Change a route; what is left out goes back to its default.",
        body=notification_routes.NewRoute, answer=schemas.ChangedRoute,
    ),
    Route(
        "DELETE", "/api/0/notification_routes/{id}", notification_routes.delete, Action.ADMIN,
        summary="Delete a route.", answer=schemas.Done,
    ),
    Route(
        "GET", "/api/0/silences", silences.index, Action.VIEW,
        summary="The silences about hosts that you see.",
        query=silences.SilencesQuery, answer=list[schemas.Silence],
    ),
    Route(
        "POST", "/api/0/silences", silences.create, Action.VIEW,
        summary="Have nobody be told of some hosts or metrics for a while.",
        body=silences.NewSilence, answer=schemas.ChangedSilence, status=201, statuses=(403, 409),
    ),
    Route(
        "DELETE", "/api/0/silences/{id}", silences.end, Action.VIEW,
        summary="End a silence now.", answer=schemas.Done, statuses=(403, 404, 409),
    ),
    Route(
        "GET", "/api/0/windows", windows.index, Action.VIEW,
        summary="The maintenance windows about hosts that you see.", answer=list[schemas.Window],
    ),
    Route(
        "POST", "/api/0/windows", windows.create, Action.VIEW,
        summary="Make a maintenance window.",
        body=windows.WindowBody, answer=schemas.ChangedWindow, status=201, statuses=(403, 409),
    ),
    Route(
        "PUT", "/api/0/windows/{id}", windows.update, Action.VIEW,
        summary="Put another maintenance window in place of one.",
        body=windows.WindowBody, answer=schemas.ChangedWindow, statuses=(403, 404),
    ),
    Route(
        "DELETE", "/api/0/windows/{id}", windows.delete, Action.VIEW,
        summary="Delete a maintenance window.", answer=schemas.Done, statuses=(403, 404),
    ),
    Route(
        "GET", "/api/0/hosts/{host}/access", host_access.show, Action.VIEW,
        summary="Who owns, manages and monitors a host.", answer=schemas.Access,
    ),
    Route(
        "PUT", "/api/0/hosts/{host}/access", host_access.update, Action.MANAGE,
        summary="Change that; managers may change who monitors, the owner all of it.",
        body=host_access.AccessChange, answer=schemas.ChangedAccess,
    ),
    Route(
        "POST", "/api/0/auth/login", signin.login, Action.ENTER,
        summary="Sign in; the token is for the Authorization header and ends by itself.",
        body=signin.Login, answer=signin.LoggedIn, statuses=(401, 503),
    ),
    Route(
        "POST", "/api/0/auth/logout", signin.logout, Action.SELF,
        summary="End the session whose token is shown.", answer=schemas.Done,
    ),
    Route(
        "GET", "/api/0/users", users.index, Action.ADMIN,
        summary="All users.", answer=list[schemas.User],
    ),
    Route(
        "POST", "/api/0/users", users.create, Action.ACCOUNTS,
        summary="Make a user.", body=users.NewUser, answer=schemas.ChangedUser, status=201, statuses=(409, 503),
    ),
    Route(
        "GET", "/api/0/users/me", me.show, Action.SELF,
        summary="One's own account.", answer=schemas.Me,
    ),
    Route(
        "PUT", "/api/0/users/me", me.update, Action.SELF,
        summary="Change one's own profile, channels or password.",
        body=me.ProfileChange, answer=schemas.Done, statuses=(409, 503),
    ),
    Route(
        "GET", "/api/0/users/me/sessions", me.sessions, Action.CREDENTIALS,
        summary="Where one is signed in, the last used first.", answer=list[schemas.Session],
    ),
    Route(
        "DELETE", "/api/0/users/me/sessions", me.end_other_sessions, Action.CREDENTIALS,
        summary="Sign out everywhere else.", answer=schemas.Ended,
    ),
    Route(
        "DELETE", "/api/0/users/me/sessions/{id}", me.end_session, Action.CREDENTIALS,
        summary="Sign out in one place.", answer=schemas.Done, statuses=(404,),
    ),
    Route(
        "GET", "/api/0/users/me/tokens", tokens.index, Action.CREDENTIALS,
        summary="One's own API tokens.", answer=list[schemas.Token],
    ),
    Route(
        "POST", "/api/0/users/me/tokens", tokens.create, Action.CREDENTIALS,
        summary="Make an API token; its text is shown only now.",
        body=tokens.NewToken, answer=schemas.CreatedToken, status=201, statuses=(409,),
    ),
    Route(
        "DELETE", "/api/0/users/me/tokens/{id}", tokens.revoke, Action.CREDENTIALS,
        summary="Revoke an API token.", answer=schemas.Done, statuses=(404,),
    ),
    Route(
        "POST", "/api/0/users/me/second_factor", me.offer_second_factor, Action.CREDENTIALS,
        summary="Begin to set up a second factor.",
        body=me.PasswordAgain, answer=schemas.SecondFactorOffer, statuses=(409, 503),
    ),
    Route(
        "PUT", "/api/0/users/me/second_factor", me.take_second_factor, Action.CREDENTIALS,
        summary="Finish that with a code of the app.",
        body=me.Code, answer=schemas.RecoveryCodes, statuses=(409,),
    ),
    Route(
        "DELETE", "/api/0/users/me/second_factor", me.remove_second_factor, Action.CREDENTIALS,
        summary="Remove the second factor, with a code of it.", body=me.Code, answer=schemas.Done, statuses=(409,),
    ),
    Route(
        "GET", "/api/0/users/{user}", users.show, Action.ADMIN,
        summary="One user.", answer=schemas.User, statuses=(404,),
    ),
    Route(
        "PUT", "/api/0/users/{user}", users.update, Action.ACCOUNTS,
        summary="Change a user.", body=users.UserChange, answer=schemas.ChangedUser, statuses=(404, 409, 503),
    ),
    Route(
        "DELETE", "/api/0/users/{user}", users.delete, Action.ACCOUNTS,
        summary="Delete a user.", answer=schemas.Done, statuses=(404, 409),
    ),
    Route(
        "DELETE", "/api/0/users/{user}/sessions", users.sign_out, Action.ACCOUNTS,
        summary="Sign a user out everywhere.", answer=schemas.Ended, statuses=(404,),
    ),
    Route(
        "DELETE", "/api/0/users/{user}/second_factor", users.remove_second_factor, Action.ACCOUNTS,
        summary="Remove the second factor of a user who has lost it.", answer=schemas.Done, statuses=(404, 409),
    ),
    Route(
        "GET", "/api/0/users/{user}/tokens", tokens.index_of_user, Action.ACCOUNTS,
        summary="The API tokens of a user.", answer=list[schemas.Token], statuses=(404,),
    ),
    Route(
        "DELETE", "/api/0/users/{user}/tokens", tokens.revoke_all_of_user, Action.ACCOUNTS,
        summary="Revoke all API tokens of a user.", answer=schemas.Revoked, statuses=(404,),
    ),
    Route(
        "DELETE", "/api/0/users/{user}/tokens/{id}", tokens.revoke_of_user, Action.ACCOUNTS,
        summary="Revoke an API token of a user.", answer=schemas.Done, statuses=(404,),
    ),
    Route(
        "GET", "/api/0/audit", audit.index, Action.ADMIN,
        summary="Who did what, and what was refused, newest first.",
        query=audit.AuditQuery, answer=schemas.AuditPage,
    ),
    Route(
        "GET", "/api/0/notification_channel_types", channels.types, Action.VIEW,
        summary="Of what types channels can be, with their settings.", answer=dict[str, schemas.ChannelType],
    ),
    Route(
        "GET", "/api/0/notification_channels", channels.index, Action.VIEW,
        summary="The notification channels that you see.", answer=list[schemas.Channel],
    ),
    Route(
        "POST", "/api/0/notification_channels", channels.create, Action.CHANNELS,
        summary="Make a notification channel; it is yours.",
        body=channels.NewChannel, answer=schemas.CreatedChannel, statuses=(409, 503),
    ),
    Route(
        "GET", "/api/0/notification_channels/{name}", channels.show, Action.VIEW,
        summary="One notification channel.", answer=schemas.Channel, statuses=(404,),
    ),
    Route(
        "PUT", "/api/0/notification_channels/{name}", channels.update, Action.CHANNELS,
        summary="Change a notification channel; what is left out stays.",
        body=channels.NewChannel, answer=schemas.Done, statuses=(403, 404, 409, 503),
    ),
    Route(
        "DELETE", "/api/0/notification_channels/{name}", channels.delete, Action.CHANNELS,
        summary="Delete a notification channel.", answer=schemas.Done, statuses=(403, 404, 409, 503),
    ),
    Route(
        "POST", "/api/0/notification_channels/{name}/test", channels.test, Action.CHANNELS,
        summary="Send a test message now.", answer=schemas.TestedChannel, statuses=(404, 502, 503),
    ),
    Route(
        "GET", "/api/0/messages", messages.index, Action.VIEW,
        summary="The message journal, newest first.",
        query=messages.MessagesQuery, answer=list[schemas.JournalMessage], statuses=(404,),
    ),
    Route(
        "GET", "/api/0/status", health.status, Action.INSPECT,
        summary="The daemon about itself.", answer=schemas.Status,
    ),
    Route(
        "GET", "/api/0/openapi.json", openapi.show, Action.VIEW,
        summary="This API as an OpenAPI 3.1 document.", answer=dict,
    ),
    Route(
        "GET", "/healthz", health.healthz, Action.ENTER,
        summary="Whether the daemon lives.", answer=health.Health, limited=False,
    ),
    Route(
        "GET", "/readyz", health.readyz, Action.ENTER,
        summary="Whether the daemon can do its work.", answer=health.Readiness, statuses=(503,),
        limited=False,
    ),
    Route(
        "GET", "/metrics", health.metrics, Action.VIEW,
        summary="Numbers for Prometheus.", media="text/plain",
    ),
    FEED,
    Route(
        "GET", LINK_PATH, websocket.agent_link, Action.ENTER,
        summary="The link of an agent, over a WebSocket; the agent proves itself with its key.", kind=Kind.STREAM,
        limited=False,
    ),
    *agent_routes.ROUTES,
    *remote_routes.ROUTES,
    *receiver_routes.ROUTES,
    *process_routes.ROUTES,
    *grafana_routes.ROUTES,
    *availability_routes.ROUTES,
    Route("GET", "/", pages.index, Action.ENTER, summary="To the live page.", kind=Kind.PAGE),
    Route("GET", "/live", pages.live, Action.VIEW, summary="Live hosts.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/alerts", alert_pages.index, Action.VIEW, summary="What is wrong.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/plugins", pages.plugins, Action.VIEW, summary="Samples of a host.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/agents", agent_pages.index, Action.VIEW, summary="All agents.", kind=Kind.PAGE, media=HTML),
    Route(
        "GET", "/agents/deploy", agent_pages.deploy, Action.REMOTE_ADMIN,
        summary="Install an agent.", kind=Kind.PAGE, media=HTML,
    ),
    Route("GET", "/agent/{agent}", host_page.show, Action.VIEW, summary="One host.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/history", history_pages.index, Action.VIEW, summary="Charts.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/silences", hush_pages.index, Action.VIEW, summary="Silences.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/scrapes", scrapes.show, Action.VIEW, summary="Exporters.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/jobs", job_pages.index, Action.VIEW, summary="Jobs.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/channels", channel_pages.index, Action.VIEW, summary="Channels.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/routes", channel_pages.routes, Action.ADMIN, summary="Who is told.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/profile", account_pages.profile, Action.SELF, summary="Own account.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/access", account_pages.access, Action.VIEW, summary="Who may what.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/users", account_pages.users, Action.ADMIN, summary="All users.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/audit", account_pages.audit, Action.ADMIN, summary="Who did what.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/login", signin.login_form, Action.ENTER, summary="Sign in.", kind=Kind.PAGE, media=HTML),
    Route("POST", "/login", signin.submit_login, Action.ENTER, summary="Sign in.", kind=Kind.PAGE, form=True),
    Route("GET", "/login/oidc", single_sign_on.begin, Action.ENTER, summary="Elsewhere.", kind=Kind.PAGE),
    Route("GET", "/login/oidc/callback", single_sign_on.finish, Action.ENTER, summary="Back.", kind=Kind.PAGE),
    Route("GET", "/logout", signin.leave, Action.ENTER, summary="Sign out.", kind=Kind.PAGE),
    Route("POST", "/logout", signin.leave, Action.ENTER, summary="Sign out.", kind=Kind.PAGE, form=True),
    Route("GET", "/setup/{token}", signin.setup_form, Action.ENTER, summary="First user.", kind=Kind.PAGE, media=HTML),
    Route("POST", "/setup/{token}", signin.submit_setup, Action.ENTER, summary="Make it.", kind=Kind.PAGE, form=True),
    Route("GET", "/status", pages.status, Action.INSPECT, summary="The daemon itself.", kind=Kind.PAGE, media=HTML),
    Route("GET", "/api", pages.api_docs, Action.VIEW, summary="This API, to read.", kind=Kind.PAGE, media=HTML),
    Route(
        "GET", "/static/{path:.+}", pages.static_file, Action.ENTER,
        summary="Files of the pages.", kind=Kind.PAGE, limited=False,
    ),
)  # fmt: skip

FEED_ROUTES: tuple[Route, ...] = (FEED,)
