"""The endpoints: the upstream's seven calls, the files, and what only a sandbox has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import anyio.to_thread
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from aivideo_mcp.contracts import MODELS
from aivideo_mcp.sandbox.answers import answer
from aivideo_mcp.sandbox.clips import clip_for
from aivideo_mcp.sandbox.orders import contract_named, read_order
from aivideo_mcp.sandbox.refusals import Refusal, invalid_payload, rate_limited

if TYPE_CHECKING:
    from starlette.requests import Request

    from aivideo_mcp.sandbox.bank import Account, Bank
    from aivideo_mcp.sandbox.faults import FaultPlan
    from aivideo_mcp.sandbox.options import SandboxOptions
    from aivideo_mcp.sandbox.orders import Order
    from aivideo_mcp.sandbox.tasks import SandboxTask
    from aivideo_mcp.sandbox.traffic import Traffic

PRODUCTION: Final = "https://aivideomaker.ai"  # the upstream's answers name production, wherever they come from
LARGEST_BODY: Final = 70_000_000
_READ_AT_ONCE: Final = 1_000_000  # a larger body is read in a thread: parsing it would hold up the event loop
_WELCOME: Final = """\
This is the AIVideoMaker sandbox: the documented API with sample clips. Nothing is generated or paid for here.
Send the header "key: sandbox", or any key that begins with ak_; each key has its own credits.
Time runs {speed} times as fast as upstream.

GET  /api/v1/account
POST /api/v1/quote/{{model}}
POST /api/v1/generate/{{model}}
GET  /api/v1/tasks
GET  /api/v1/tasks/{{taskId}}
GET  /api/v1/tasks/{{taskId}}/status
PUT  /api/v1/tasks/{{taskId}}/cancel
GET  /files/{{taskId}}.mp4           no key needed
GET  /sandbox/ledger               what was charged and asked
POST /sandbox/faults               {{"faults": ["429@status:3"]}}

Models: {models}
"""


class Endpoints:
    """One method for each endpoint, over the sandbox's state."""

    def __init__(self, options: SandboxOptions, bank: Bank, traffic: Traffic, plan: FaultPlan) -> None:
        self._options = options
        self._bank = bank
        self._traffic = traffic
        self._plan = plan

    @property
    def routes(self) -> list[BaseRoute]:
        """The routing table."""
        return [
            Route("/", self.welcome),
            Route("/api/v1/account", self.account),
            Route("/api/v1/quote/{model}", self.quote, methods=["POST"]),
            Route("/api/v1/generate/{model}", self.generate, methods=["POST"]),
            Route("/api/v1/tasks", self.tasks),
            Route("/api/v1/tasks/{task_id}", self.task),
            Route("/api/v1/tasks/{task_id}/status", self.status),
            Route("/api/v1/tasks/{task_id}/cancel", self.cancel, methods=["PUT"]),
            Route("/files/{task_id}.mp4", self.file),
            Route("/sandbox/ledger", self.ledger),
            Route("/sandbox/faults", self.faults, methods=["POST"]),
        ]

    async def welcome(self, _request: Request) -> Response:
        """Say what this is, to whoever opens it in a browser."""
        return PlainTextResponse(_WELCOME.format(speed=self._options.shown_speed, models=", ".join(MODELS)))

    async def account(self, request: Request) -> Response:
        """The key's balance, and the models served."""
        account = self._queried(request)
        return answer(
            {
                "ok": True,
                "apiVersion": "v1",
                "skillVersion": "1.0.15",
                "currentBalance": account.balance,
                "supportedModels": list(MODELS),
                "dailyCreditLimit": -1,  # unlimited, as the next two
                "generationRequestsPerMinute": -1,
                "creditWarningAt": -1,
                "sandbox": True,
            }
        )

    async def quote(self, request: Request) -> Response:
        """The price of a request, free."""
        balance = self._account(request).balance
        order = await _order(request)
        return answer(
            {
                "model": order.model,
                "credits": order.price,
                "listPriceUsd": order.price / 100,
                "usdPerCredit": 0.01,
                "currentBalance": balance,
                "affordable": balance >= order.price,
                "billable": False,
            }
        )

    async def generate(self, request: Request) -> Response:
        """Charge and start a task, or replay one."""
        order = await _order(request)
        task, replayed = self._account(request).submit(
            order,
            idempotency_key=request.headers.get("idempotency-key"),
            max_credits=request.headers.get("x-max-credits"),
            failing=bool(getattr(request.state, "failing", False)),
        )
        tasks = f"{PRODUCTION}/api/v1/tasks/{task.id}"
        return answer(
            {
                # A replay repeats the submission; FAILED here would read as a refusal.
                "status": "SUBMITTED",
                "taskId": task.id,
                "creditsCharged": task.order.price,
                "idempotentReplay": replayed,
                "responseUrl": tasks,
                "statusUrl": f"{tasks}/status",
                "cancelUrl": f"{tasks}/cancel",
            }
        )

    async def tasks(self, request: Request) -> Response:
        """All tasks of this key, newest first."""
        newest_first = reversed(self._queried(request).tasks.values())
        return answer({"tasks": [self._shown(task, request) for task in newest_first]})

    async def task(self, request: Request) -> Response:
        """One task in full."""
        return answer(self._shown(self._queried(request).task(request.path_params["task_id"]), request))

    async def status(self, request: Request) -> Response:
        """One task's state and nothing else."""
        task = self._queried(request).task(request.path_params["task_id"])
        return answer({"status": task.status(self._options.clock())})

    async def cancel(self, request: Request) -> Response:
        """Cancel a task that is still SUBMITTED."""
        task = self._account(request).cancel(request.path_params["task_id"])
        return answer({"status": "CANCEL", "taskId": task.id})

    async def file(self, request: Request) -> Response:
        """A finished task's clip, for anyone who has its address."""
        task = self._bank.tasks.get(request.path_params["task_id"])
        if task is None or not task.has_file(self._options.clock()):
            raise Refusal(404, "File not found")
        return FileResponse(clip_for(task.order.ratio), media_type="video/mp4")

    async def ledger(self, _request: Request) -> Response:
        """What was charged and asked since the start, over all keys."""
        now = self._options.clock()
        tasks = self._bank.tasks.values()
        return answer(
            {
                "charges": len(tasks),  # a task is charged once, and nothing else is
                "creditsCharged": sum(task.order.price for task in tasks),
                "creditsRefunded": sum(task.refunded(now) for task in tasks),
                "tasks": len(tasks),
                "queries": self._traffic.queries,
                "maxQueriesPerMinute": self._traffic.busiest,
                "calls": dict(self._traffic.calls),
            }
        )

    async def faults(self, request: Request) -> Response:
        """Put other faults in force."""
        specs = _specs(await _content(request))
        try:
            self._plan.replace(specs)
        except ValueError as fault:
            raise invalid_payload(str(fault)) from None
        return answer({"faults": specs})

    def _account(self, request: Request) -> Account:
        return self._bank.account(request.headers.get("key"))

    def _queried(self, request: Request) -> Account:
        """The account, when the query limit lets the request through."""
        account = self._account(request)
        wait = self._traffic.admit()
        if wait is not None:
            raise rate_limited(wait)
        return account

    def _shown(self, task: SandboxTask, request: Request) -> dict[str, object]:
        return task.shown(self._options.clock(), str(request.base_url))


async def _order(request: Request) -> Order:
    contract = contract_named(request.path_params["model"])
    content = await _content(request)
    if len(content) <= _READ_AT_ONCE:
        return read_order(contract, content)
    return await anyio.to_thread.run_sync(read_order, contract, content, abandon_on_cancel=True)


async def _content(request: Request) -> bytes:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > LARGEST_BODY:
            raise Refusal(413, f"The request body is larger than {LARGEST_BODY} bytes")
    return bytes(content)


def _specs(content: bytes) -> list[str]:
    try:
        specs = json.loads(content)["faults"]
    except (ValueError, KeyError, TypeError, RecursionError):
        specs = None
    if not isinstance(specs, list) or not all(isinstance(spec, str) for spec in specs):
        raise invalid_payload('Send {"faults": ["KIND[@CALL][:N]", ...]}')
    return specs
