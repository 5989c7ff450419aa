"""What a job says of itself while its time passes."""

from __future__ import annotations

import math
from datetime import timedelta

import httpx

from dfnb.testing import AsyncApi, FakeClock
from dfnb.testing.jobs import other_origin


def test_progress_follows_the_clock(api: AsyncApi, clock: FakeClock, client: httpx.Client) -> None:
    api.job("/work", takes=timedelta(seconds=100))
    client.post("/work")
    (job,) = api.jobs
    seen = [(job.state, job.percent)]
    for _ in range(2):
        clock.advance(50)
        client.get("/operations/1")
        seen.append((job.state, job.percent))
    assert seen == [("queued", 0), ("queued", 50), ("succeeded", 100)]


def test_progress_follows_the_polls(api: AsyncApi, client: httpx.Client) -> None:
    api.job("/work", polls=3)
    client.post("/work")
    (job,) = api.jobs
    seen = [(client.get("/operations/1").status_code, job.state, job.percent) for _ in range(4)]
    assert seen == [(202, "queued", 25), (202, "running", 50), (202, "running", 75), (204, "succeeded", 100)]


def test_both_limits_have_to_be_reached(api: AsyncApi, clock: FakeClock, client: httpx.Client) -> None:
    api.job("/work", polls=1, takes=timedelta(seconds=10))
    client.post("/work")
    assert [client.get("/operations/1").status_code for _ in range(3)] == [202] * 3
    clock.advance(10)
    assert client.get("/operations/1").status_code == 204


def test_a_job_without_an_end_makes_no_progress(api: AsyncApi, client: httpx.Client) -> None:
    api.job("/work", polls=math.inf)
    client.post("/work")
    assert (api.jobs[0].percent, api.jobs[0].ended) == (0, False)


def test_an_ended_job_cannot_be_cancelled(api: AsyncApi, client: httpx.Client) -> None:
    api.job("/processes/x/execution", "ogc-processes", polls=0)
    client.post("/processes/x/execution")
    assert client.get("/jobs/1").json()["status"] == "successful"
    assert client.delete("/jobs/1").json()["status"] == "successful"
    client.post("/processes/x/execution")
    assert client.delete("/jobs/2").json()["status"] == "dismissed"


def test_the_other_origin_is_another_name_of_the_same_place() -> None:
    assert other_origin("https://api.example") == "https://monitor.api.example"
    assert other_origin("http://127.0.0.1:8000") == "http://localhost:8000"
    assert other_origin("http://localhost:8000") == "http://127.0.0.1:8000"
