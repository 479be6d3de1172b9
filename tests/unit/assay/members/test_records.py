"""Records of rollouts: one list for a namespace, and what was written meanwhile is newer."""

import asyncio
import json
from typing import Any

import pytest

from assay.members.errors import ApiError
from assay.members.records import Records
from assay.rollout.observation import RecordView

from .apiserver import running

CONFIGMAPS = "/api/v1/namespaces/ml/configmaps"


def a_record(name: str, rollout: str) -> dict[str, Any]:
    labels = {"assay.dev/deployment": name, "app.kubernetes.io/component": "route"}
    content = {"rollout": {"id": rollout}}
    return {
        "metadata": {"name": f"{name}-rollout", "labels": labels},
        "data": {"record.json": json.dumps(content)},
    }


def test_all_of_a_namespace_are_read_together_and_once() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            for name in ("fraud", "churn"):
                server.put(f"{CONFIGMAPS}/{name}-rollout", a_record(name, f"{name}-1"))
            records = Records(api)
            found = await asyncio.gather(*(records.read("ml", it) for it in ("fraud", "churn")))
            assert found == [RecordView("fraud-1", None), RecordView("churn-1", None)]
            assert await records.read("ml", "none") is None
            assert server.requests == [f"GET {CONFIGMAPS}"]
            selector = "app.kubernetes.io/managed-by=assay,app.kubernetes.io/component=route"
            assert server.queries[0]["labelSelector"] == selector

    asyncio.run(scenario())


def test_a_member_whose_chart_is_older_is_asked_for_each() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            server.put(f"{CONFIGMAPS}/fraud-rollout", a_record("fraud", "fraud-1"))
            server.refuse[f"GET {CONFIGMAPS}"] = (403, "may not list")
            records = Records(api)
            for _ in range(2):
                assert await records.read("ml", "fraud") == RecordView("fraud-1", None)
            assert server.requests == [f"GET {CONFIGMAPS}", f"GET {CONFIGMAPS}/fraud-rollout"]

    asyncio.run(scenario())


def test_what_was_written_meanwhile_is_newer_and_a_slow_list_goes_on() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            server.put(f"{CONFIGMAPS}/fraud-rollout", a_record("fraud", "fraud-1"))
            server.put(f"{CONFIGMAPS}/churn-rollout", a_record("churn", "churn-1"))
            server.delay[f"GET {CONFIGMAPS}"] = 0.2
            records = Records(api)
            impatient = asyncio.create_task(records.read("ml", "churn"))
            await asyncio.sleep(0.05)
            impatient.cancel()
            records.wrote("ml", "fraud", RecordView("fraud-2", None))
            assert await records.read("ml", "churn") == RecordView("churn-1", None)
            assert await records.read("ml", "fraud") == RecordView("fraud-2", None)
            assert server.requests == [f"GET {CONFIGMAPS}"]

    asyncio.run(scenario())


def test_a_list_that_failed_is_asked_again() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            server.put(f"{CONFIGMAPS}/fraud-rollout", a_record("fraud", "fraud-1"))
            server.refuse[f"GET {CONFIGMAPS}"] = (500, "etcd is away")
            records = Records(api)
            with pytest.raises(ApiError, match="etcd is away"):
                await records.read("ml", "fraud")
            del server.refuse[f"GET {CONFIGMAPS}"]
            assert await records.read("ml", "fraud") == RecordView("fraud-1", None)

    asyncio.run(scenario())
