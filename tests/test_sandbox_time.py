"""What the clock decides: states, files, the query limit."""

import pytest
from test_sandbox_twin import Twin

from aivideo_mcp.contracts import MODELS

pytestmark = pytest.mark.anyio

USUAL_MINUTES = {"t2v": 4.75, "lv": 5.0, "i2v_v3": 13.0} | dict.fromkeys(
    ("i2v", "t2v_v3", "minimax", "seedance20", "wan27", "happyhorse"), 4.5
)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("speed", [1.0, 60.0])
async def test_a_task_walks_through_its_states_on_sandbox_time(model: str, speed: float) -> None:
    twin = Twin(speed=speed)
    task_id = await twin.submitted(model)
    twin.wait_sandbox_minutes(19 / 60)
    assert await twin.status(task_id) == "SUBMITTED"
    twin.wait_sandbox_minutes(2 / 60)
    assert await twin.status(task_id) == "PROGRESS"
    twin.wait_sandbox_minutes(USUAL_MINUTES[model] - 22 / 60)
    assert await twin.status(task_id) == "PROGRESS"
    assert (await twin.task(task_id))["output"] is None
    twin.wait_sandbox_minutes(2 / 60)
    assert await twin.status(task_id) == "COMPLETED"


async def test_a_finished_task_names_its_file_and_real_times() -> None:
    twin = Twin(speed=60)
    task_id = await twin.submitted()
    twin.wait_sandbox_minutes(60)
    task = await twin.task(task_id)
    assert task["output"]["url"] == f"http://sandbox.test/files/{task_id}.mp4"
    assert "sandbox clip, not a generated video" in task["output"]["msg"]
    assert task["createdAt"] == "2026-09-21T14:13:20.000Z"
    assert task["completedAt"] == "2026-09-21T14:13:24.750Z"  # 4.75 sandbox minutes at speed 60


@pytest.mark.parametrize("minutes", [0.5, 10])
async def test_a_task_that_has_begun_cannot_be_cancelled(minutes: float) -> None:
    twin = Twin()
    task_id = await twin.submitted()
    twin.wait_sandbox_minutes(minutes)
    answer = await twin.http.put(f"/api/v1/tasks/{task_id}/cancel")
    assert answer.status_code == 409
    assert answer.json()["status"] == "FAILED"
    assert await twin.status(task_id) == ("PROGRESS" if minutes < 1 else "COMPLETED")


async def test_a_cancelled_task_stays_cancelled() -> None:
    twin = Twin()
    task_id = await twin.submitted()
    await twin.http.put(f"/api/v1/tasks/{task_id}/cancel")
    twin.wait_sandbox_minutes(60)
    assert await twin.status(task_id) == "CANCEL"
    assert (await twin.get(f"/files/{task_id}.mp4")).status_code == 404


async def test_a_file_is_there_from_completion_until_a_day_later() -> None:
    twin = Twin(speed=60)
    path = f"/files/{await twin.submitted()}.mp4"
    assert (await twin.get(path)).status_code == 404
    twin.wait_sandbox_minutes(5)
    assert (await twin.get(path)).status_code == 200
    twin.wait_sandbox_minutes(24 * 60 - 1)
    assert (await twin.get(path)).status_code == 200
    twin.wait_sandbox_minutes(1)
    assert (await twin.get(path)).status_code == 404


async def test_a_file_stays_ten_real_minutes_at_any_speed() -> None:
    twin = Twin(speed=3600)
    path = f"/files/{await twin.submitted()}.mp4"
    twin.now += 599
    assert (await twin.get(path)).status_code == 200
    twin.now += 2
    assert (await twin.get(path)).status_code == 404


async def test_a_file_can_be_fetched_without_a_key_whole_in_part_and_not_at_all() -> None:
    twin = Twin()
    path = f"/files/{await twin.submitted('t2v')}.mp4"
    twin.wait_sandbox_minutes(5)
    stranger = twin.client("nobody")
    whole = await stranger.get(path)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.content[4:8] == b"ftyp"
    part = await stranger.get(path, headers={"Range": "bytes=100-199"})
    assert part.status_code == 206
    assert part.content == whole.content[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert (await stranger.get(path, headers={"Range": "bytes=9999999-"})).status_code == 416
    head = await stranger.head(path)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(whole.content)))


async def test_a_file_has_the_aspect_ratio_that_was_asked_for() -> None:
    twin = Twin()
    tall, wide = await twin.submitted("t2v"), await twin.submitted("minimax")
    twin.wait_sandbox_minutes(5)
    assert (await twin.get(f"/files/{tall}.mp4")).content != (await twin.get(f"/files/{wide}.mp4")).content


async def test_the_61st_query_within_a_sandbox_minute_is_refused_for_all_keys() -> None:
    twin = Twin(speed=6)
    task_id = await twin.submitted()
    paths = ["/api/v1/account", "/api/v1/tasks", f"/api/v1/tasks/{task_id}", f"/api/v1/tasks/{task_id}/status"]
    for query in range(60):
        assert (await twin.get(paths[query % 4])).status_code == 200
    twin.now += 2.5
    for path in paths:
        refused = await twin.client("ak_two").get(path)
        assert (refused.status_code, refused.json()["errorCode"]) == (429, "RATE_LIMITED")
        assert refused.headers["retry-after"] == "8"  # the window is 10 real seconds, 7.5 of them are left
    twin.now += 8
    assert (await twin.get("/api/v1/account")).status_code == 200
    ledger = await twin.ledger()
    assert (ledger["queries"], ledger["maxQueriesPerMinute"]) == (65, 64)


async def test_creates_quotes_cancels_and_files_are_no_queries() -> None:
    twin = Twin(queries_per_minute=1)
    await twin.get("/api/v1/account")
    task_id = await twin.submitted()
    assert (await twin.quote("t2v")).status_code == 200
    assert (await twin.http.put(f"/api/v1/tasks/{task_id}/cancel")).status_code == 200
    assert (await twin.get(f"/files/{task_id}.mp4")).status_code == 404
    assert (await twin.get("/api/v1/tasks")).status_code == 429


async def test_a_limit_of_ones_own_counts_in_real_minutes() -> None:
    twin = Twin(queries_per_minute=2)
    assert [(await twin.get("/api/v1/tasks")).status_code for _ in range(3)] == [200, 200, 429]
    twin.now += 59
    refused = await twin.get("/api/v1/tasks")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    twin.now += 1
    assert (await twin.get("/api/v1/tasks")).status_code == 200
