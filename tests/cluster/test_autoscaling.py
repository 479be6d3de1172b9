"""Who writes `spec.replicas`: we, then a HorizontalPodAutoscaler, then we again, and never nobody.

The controller of HorizontalPodAutoscalers is the real one. No member of the fleet has a metrics
server, so it keeps to least and most; what it would write because of load is written here as it
writes, through the scale subresource.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from assay.members import resources
from assay.members.member import Member
from assay.render.member import MemberPlan, MemberTarget
from fleet import Cluster
from tests.cluster import test_members
from tests.cluster.test_members import (
    NAME,
    NAMESPACE,
    REVISION,
    SPEC,
    a_plan,
    applied_at,
    connected,
    objects,
    until,
)

pytestmark = pytest.mark.cluster

east = test_members.east  # a fixture

DEPLOYMENT = f"Deployment/{NAME}-{REVISION}"
SCALER = f"HorizontalPodAutoscaler/{NAME}-{REVISION}"
SCALED = SPEC.model_copy(
    update={
        "serving": SPEC.serving.model_validate(
            {"autoscaling": {"minReplicas": 1, "maxReplicas": 5}}
        )
    }
)


def fixed(replicas: int) -> MemberPlan:
    return a_plan(share=MemberTarget("east", replicas))


def scaled(least: int, most: int = 5) -> MemberPlan:
    share = MemberTarget("east", most, floors={REVISION: least})
    return a_plan(spec=SCALED, share=share)


def scale(cluster: Cluster, replicas: int) -> None:
    """Write as a HorizontalPodAutoscaler does."""
    name = f"deployment/{NAME}-{REVISION}"
    cluster.kubectl("scale", name, "-n", NAMESPACE, f"--replicas={replicas}")


@contextlib.asynccontextmanager
async def every_version(member: Member) -> AsyncIterator[list[int]]:
    """The number of pods in every version of the Deployment, from now on."""
    assert member.session
    api = member.session.api
    path = resources.path("Deployment", NAMESPACE)
    query = {"labelSelector": f"assay.dev/deployment={NAME}"}
    listed = await api.get(path, **query)
    found = [item["spec"]["replicas"] for item in listed["items"]]
    version = listed["metadata"]["resourceVersion"]

    async def follow() -> None:
        wanted = {**query, "watch": "1", "resourceVersion": version}
        async with api.stream(path, wanted, 600.0) as events:
            async for event in events:
                found.append(event["object"]["spec"]["replicas"])  # noqa: PERF401

    task = asyncio.create_task(follow())
    try:
        yield found
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def owners(cluster: Cluster) -> set[str]:
    """Who owns the number of pods."""
    entries = objects(cluster)[DEPLOYMENT]["metadata"]["managedFields"]
    return {
        entry["manager"] for entry in entries if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }


def seen(member: Member, kind: str) -> Any:
    assert member.session
    return member.session.cache.get(kind, NAMESPACE, f"{NAME}-{REVISION}")


def test_the_number_of_pods_is_handed_over_and_back_and_never_falls_in_between(
    east: Cluster,
) -> None:
    async def scenario() -> None:
        async with connected(east) as member:
            await member.submit(NAMESPACE, NAME, fixed(3))
            assert owners(east) == {"assay"}
            async with every_version(member) as versions:
                await member.submit(NAMESPACE, NAME, scaled(1))
                assert owners(east) == {"assay-scale"}
                scaler = objects(east)[SCALER]["spec"]
                assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 5)
                await until(lambda: bool(seen(member, "HorizontalPodAutoscaler")))
                scale(east, 4)
                await until(lambda: seen(member, "Deployment").desired == 4)
                before = applied_at(objects(east))
                await asyncio.sleep(1.1)  # managedFields have whole seconds
                await member.submit(NAMESPACE, NAME, scaled(1))
                assert applied_at(objects(east)) == before, "what it writes is no drift"
                assert "assay" not in owners(east)
                # Off: fixed where it is, and by the next look where it is asked for.
                await member.submit(NAMESPACE, NAME, fixed(4))
                assert SCALER not in objects(east)
                assert "assay" in owners(east)
                await until(lambda: seen(member, "HorizontalPodAutoscaler") is None)
                assert set(versions) == {3, 4}
                assert versions == sorted(versions)
                await member.submit(NAMESPACE, NAME, fixed(2))
                await until(lambda: versions[-1] == 2)
                assert set(versions) == {2, 3, 4}

    asyncio.run(scenario())


def test_a_new_deployment_begins_with_its_floor_and_the_real_controller_keeps_it(
    east: Cluster,
) -> None:
    async def scenario() -> None:
        async with connected(east) as member:
            async with every_version(member) as versions:
                await member.submit(NAMESPACE, NAME, scaled(2))
                assert owners(east) == {"assay-scale"}
                await member.submit(NAMESPACE, NAME, scaled(3))
                await until(lambda: versions[-1:] == [3])  # the controller looks every 15 s
                assert set(versions) == {2, 3}
            assert "assay" not in owners(east)
            # Nobody measures, and it says so.
            await until(lambda: bool(seen(member, "HorizontalPodAutoscaler").unscaled))
            view = (await member.view(NAMESPACE, NAME)).revisions[REVISION]
            assert (view.desired, view.least) == (3, 3)
            assert view.unscaled is not None
            assert "metrics" in view.unscaled

    asyncio.run(scenario())


def test_an_autoscaler_that_somebody_changed_or_deleted_is_put_back(
    east: Cluster,
) -> None:
    async def scenario() -> None:
        async with connected(east) as member:
            await member.submit(NAMESPACE, NAME, scaled(1))
            ours = seen(member, "HorizontalPodAutoscaler").digest
            where = (
                "-n",
                NAMESPACE,
                "--type=merge",
                "-p",
                json.dumps({"spec": {"maxReplicas": 9}}),
            )
            east.kubectl("patch", "hpa", f"{NAME}-{REVISION}", *where)
            await until(lambda: seen(member, "HorizontalPodAutoscaler").digest != ours)
            await member.submit(NAMESPACE, NAME, scaled(1))
            assert objects(east)[SCALER]["spec"]["maxReplicas"] == 5
            east.kubectl("delete", "hpa", f"{NAME}-{REVISION}", "-n", NAMESPACE)
            await until(lambda: seen(member, "HorizontalPodAutoscaler") is None)
            await member.submit(NAMESPACE, NAME, scaled(1))
            assert objects(east)[SCALER]["spec"]["maxReplicas"] == 5
            # Nor does one change that there are no pods at all.
            scale(east, 0)
            await until(lambda: seen(member, "Deployment").desired == 0)
            await member.submit(NAMESPACE, NAME, scaled(1))
            assert objects(east)[DEPLOYMENT]["spec"]["replicas"] == 1
            assert owners(east) == {"assay-scale"}
            await member.remove(NAMESPACE, NAME)
            assert SCALER not in objects(east)

    asyncio.run(scenario())
