"""Who is told that a task changed: `resources/subscribe` on the older protocols, `subscriptions/listen` on 2026-07-28.

A subscription is a waiter like any other on the one watch over all tasks, so that without any nothing is asked. It ends
with the task, with unsubscribing, with the session or its stream, and after an hour in any case.

Only tasks can be subscribed to. For anything else the older call is refused, and the newer one honours the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
from mcp import MCPError
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.subscriptions import ResourceUpdated
from mcp.shared.uri_template import UriTemplate
from mcp_types import (
    INVALID_PARAMS,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    UnsubscribeRequestParams,
)

from aivideo_mcp.errors import AivideoError, InvalidPayload
from aivideo_mcp.offers.resources import TASK_URI
from aivideo_mcp.tasks import Status, check_task_id
from aivideo_mcp.watcher import News
from aivideo_mcp.workflow import Workflow

logger = logging.getLogger(__name__)

MOST: Final = 100  # subscriptions of one session or one stream
LONGEST: Final = 3600.0  # seconds; several times what the slowest model takes, for states that never end
_OURS: Final = "aivideo_mcp.subscriptions"  # where a connection keeps what is ours
_TEMPLATE: Final = UriTemplate.parse(TASK_URI)

Ctx = ServerRequestContext[Any, Any]
Send = Callable[[], Awaitable[None]]


def add_subscriptions(server: MCPServer, workflow: Workflow) -> None:
    """Serve subscriptions to tasks, in both eras."""
    low = server._lowlevel_server  # noqa: SLF001 - the SDK's server class has no way to serve resources/subscribe
    bus = server._subscriptions  # noqa: SLF001 - what Context.notify_resource_updated publishes on, without a request
    stream = low.get_request_handler("subscriptions/listen")
    assert stream is not None
    sessions = _Sessions(workflow)
    streams = _Streams(workflow, lambda uri: bus.publish(ResourceUpdated(uri)), stream.handler)
    low.add_request_handler("resources/subscribe", SubscribeRequestParams, sessions.subscribe)
    low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, sessions.unsubscribe)
    low.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, streams.listen)


class _Sessions:
    """The older protocols: a session says one by one what it wants to be told of."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow

    async def subscribe(self, ctx: Ctx, params: SubscribeRequestParams) -> EmptyResult:
        """Begin to tell a session of a task; harmless when it is told already."""
        uri = str(params.uri)
        task_id = _task_in(uri)
        if task_id is None:
            raise MCPError(INVALID_PARAMS, f"Only {TASK_URI} can be subscribed to.", {"uri": uri[:200]})
        connection = ctx.session._connection  # noqa: SLF001 - what lives as long as the session; no other way to it
        followed: dict[str, anyio.CancelScope] | None = connection.state.get(_OURS)
        if followed is None:
            followed = connection.state[_OURS] = {}
            connection.exit_stack.callback(_leave_all, followed)
        if uri in followed:
            return EmptyResult()
        if len(followed) >= MOST:
            raise MCPError(INVALID_PARAMS, f"A session has at most {MOST} subscriptions; end one first.")
        scope = followed[uri] = anyio.CancelScope()

        def forget() -> None:
            if followed.get(uri) is scope:
                del followed[uri]

        _follow(self._workflow, task_id, scope, lambda: connection.send_resource_updated(uri), forget)
        return EmptyResult()

    async def unsubscribe(self, ctx: Ctx, params: UnsubscribeRequestParams) -> EmptyResult:
        """Tell a session no more; harmless when it was not told."""
        followed = ctx.session._connection.state.get(_OURS, {})  # noqa: SLF001 - as above
        if scope := followed.pop(str(params.uri), None):
            scope.cancel()
        return EmptyResult()


def _leave_all(followed: dict[str, anyio.CancelScope]) -> None:
    for scope in followed.values():
        scope.cancel()


@dataclass(eq=False)
class _Shared:
    """One task's watch for all streams that listen to it: what is published reaches each of them anyway."""

    listeners: int = 0
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class _Streams:
    """2026-07-28: a request says all that it wants to be told of, and its answer is the stream that tells it."""

    def __init__(
        self,
        workflow: Workflow,
        publish: Callable[[str], Awaitable[None]],
        stream: Callable[[Ctx, SubscriptionsListenRequestParams], Awaitable[HandlerResult]],
    ) -> None:
        self._workflow = workflow
        self._publish = publish
        self._stream = stream
        self._shared: dict[str, _Shared] = {}

    async def listen(self, ctx: Ctx, params: SubscriptionsListenRequestParams) -> HandlerResult:
        """Serve one stream; its acknowledgement says which tasks it tells of."""
        asked = dict.fromkeys(params.notifications.resource_subscriptions or ())
        tasks = {uri: task_id for uri in asked if (task_id := _task_in(uri)) is not None}
        followed = dict(list(tasks.items())[:MOST])
        honored = params.notifications.model_copy(update={"resource_subscriptions": list(followed) or None})
        joined = [(uri, self._join(uri, task_id)) for uri, task_id in followed.items()]
        try:
            return await self._stream(ctx, params.model_copy(update={"notifications": honored}))
        finally:
            for uri, shared in joined:
                self._leave(uri, shared)

    def _join(self, uri: str, task_id: str) -> _Shared:
        shared = self._shared.get(uri)
        if shared is None:
            shared = self._shared[uri] = _Shared()
            _follow(self._workflow, task_id, shared.scope, lambda: self._publish(uri), lambda: self._end(uri, shared))
        shared.listeners += 1
        return shared

    def _leave(self, uri: str, shared: _Shared) -> None:
        shared.listeners -= 1
        if not shared.listeners:
            shared.scope.cancel()
            self._end(uri, shared)

    def _end(self, uri: str, shared: _Shared) -> None:
        """Whoever comes later starts a new watch, and so learns of an end that was before its time."""
        if self._shared.get(uri) is shared:
            del self._shared[uri]


def _follow(workflow: Workflow, task_id: str, scope: anyio.CancelScope, send: Send, ended: Callable[[], None]) -> None:
    """Start a watch that sends at each change, until it has ended or its scope is cancelled."""

    async def run() -> None:
        with scope:
            try:
                await _tell(workflow, task_id, send)
            except Exception:  # a subscription is never worth a server
                logger.exception("a subscription to task %s broke", task_id)
        ended()

    workflow.start(run)


async def _tell(workflow: Workflow, task_id: str, send: Send) -> None:
    """Send at each change, and once at the end, whatever it is: reading then shows the result or the error."""
    known: str = Status.SUBMITTED  # so every task begins; what it became since is news to somebody who subscribes

    async def notice(news: News) -> None:
        nonlocal known
        if news.status is None or news.status == known or Status.read(news.status).terminal:
            return  # a terminal state is told with the end, when its file can be read too
        known = news.status
        await send()

    with anyio.move_on_after(LONGEST), suppress(AivideoError):
        await workflow.watch(task_id, notice)
    await send()


def _task_in(uri: str) -> str | None:
    """The id of the task that a URI names; None when it names none."""
    try:
        return check_task_id((_TEMPLATE.match(uri) or {}).get("taskId"))
    except InvalidPayload:
        return None
