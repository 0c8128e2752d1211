"""The sandbox in process, on a clock that tests move by hand; and what every answer of it carries."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from aivideo_mcp.contracts import MODELS
from aivideo_mcp.sandbox import SandboxOptions
from aivideo_mcp.sandbox.app import create_app

pytestmark = pytest.mark.anyio

PICTURE = "https://example.com/cat.png"
EPOCH = 1_790_000_000.0  # 2026-09-21T14:13:20Z

# A right body for each model, typed by hand from the vendor's page: the twin is checked against these.
BODIES: dict[str, dict[str, Any]] = {
    "t2v": {"prompt": "a cat", "aspectRatio": "9:16", "duration": "5"},
    "i2v": {"image": PICTURE, "prompt": None, "duration": "8"},
    "lv": {"image": PICTURE, "prompt": ["a cat wakes", "it leaps"]},
    "t2v_v3": {"prompt": "a cat", "aspectRatio": "1:1", "duration": "20"},
    "i2v_v3": {"image": PICTURE, "duration": "15"},
    "minimax": {"content": "a cat", "duration": 6, "resolution": "1080p", "tier": "base", "aspectRatio": "auto"},
    "seedance20": {"prompt": "a cat", "duration": 5, "resolution": 720, "ratio": "16:9"},
    "wan27": {"prompt": "a cat", "duration": "10", "resolution": "1080P", "ratio": "4:3", "promptExtend": True},
    "happyhorse": {"prompt": "a cat", "image": [PICTURE, PICTURE], "duration": 3, "resolution": "720P"},
}


class Twin:
    """A sandbox without a network: `now` is its clock in real seconds, `slept` what it waited."""

    def __init__(self, key: str = "ak_one", **options: Any) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.options = SandboxOptions(
            clock=lambda: self.now,
            wall=lambda: EPOCH + self.now - 1000,
            sleep=self._sleep,
            **options,
        )
        self.app = create_app(self.options)
        self.http = self.client(key)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def client(self, key: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://sandbox.test", headers={"key": key}
        )

    async def get(self, path: str) -> httpx.Response:
        return await self.http.get(path)

    async def generate(
        self, model: str = "t2v", body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        chosen = BODIES[model] if body is None else body
        return await self.http.post(f"/api/v1/generate/{model}", json=chosen, headers=headers)

    async def quote(self, model: str, body: Any = None) -> httpx.Response:
        return await self.http.post(f"/api/v1/quote/{model}", json=BODIES[model] if body is None else body)

    async def submitted(self, model: str = "t2v", body: Any = None) -> str:
        answer = await self.generate(model, body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["taskId"])

    async def task(self, task_id: str) -> dict[str, Any]:
        return dict((await self.get(f"/api/v1/tasks/{task_id}")).json())

    async def status(self, task_id: str) -> str:
        return str((await self.get(f"/api/v1/tasks/{task_id}/status")).json()["status"])

    async def balance(self) -> int:
        return int((await self.get("/api/v1/account")).json()["currentBalance"])

    async def ledger(self) -> dict[str, Any]:
        return dict((await self.get("/sandbox/ledger")).json())

    def wait_sandbox_minutes(self, minutes: float) -> None:
        self.now += minutes * 60 / self.options.speed


async def test_the_front_page_says_that_it_is_a_sandbox_and_lists_the_endpoints() -> None:
    page = await Twin().get("/")
    assert page.headers["content-type"].startswith("text/plain")
    assert "sandbox" in page.text
    assert "/api/v1/generate/{model}" in page.text
    assert ", ".join(MODELS) in page.text


@pytest.mark.parametrize("path", ["/", "/api/v1/account", "/api/v1/nothing", "/files/none.mp4", "/sandbox/ledger"])
async def test_every_answer_says_that_a_sandbox_gave_it(path: str) -> None:
    assert (await Twin().get(path)).headers["aivideo-sandbox"] == "speed=60"


async def test_a_fractional_speed_is_named_as_it_was_set() -> None:
    assert (await Twin(speed=2.5).get("/")).headers["aivideo-sandbox"] == "speed=2.5"


async def test_faults_carry_the_sandbox_mark_too() -> None:
    assert (await Twin(faults=("502",)).get("/api/v1/account")).headers["aivideo-sandbox"] == "speed=60"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"port": 70_000}, "port"),
        ({"speed": 0.0}, "speed"),
        ({"speed": float("inf")}, "speed"),
        ({"credits": -1}, "credits"),
        ({"queries_per_minute": 0}, "queries_per_minute"),
        ({"idempotency": "none"}, "idempotency"),
        ({"faults": ("418",)}, "unknown fault '418'; use KIND"),
    ],
)
def test_a_bad_option_is_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named.replace("[", r"\[")):
        SandboxOptions(**options)
