"""A member as a real API server: apply, skip, drift, prune, restart, bad credentials, two hubs."""

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from assay.api.conditions import Reason
from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.model_cluster import ModelClusterSpec
from assay.api.model_deployment import ModelDeploymentSpec
from assay.members import apply, kubeconfig, receipts, session
from assay.members.kubeconfig import Credentials
from assay.members.member import Member
from assay.members.registry import Registry
from assay.placement import Candidate
from assay.render.member import MemberPlan, MemberTarget, Target, plan
from assay.render.revision import pod_template, revision_hash
from fleet import Cluster, Fleet

pytestmark = pytest.mark.cluster

NAME, NAMESPACE, LEASE = "members", "ml", "assay-members-test"
EVERYTHING = (
    "horizontalpodautoscalers,deployments,statefulsets,services,poddisruptionbudgets,httproutes,"
    "configmaps,secrets,controllerrevisions"
)
SPEC = ModelDeploymentSpec.model_validate(
    {
        "model": {
            "uri": "https://models.invalid/7.skops",
            "version": "7",
            "digest": "sha256:" + "7" * 64,
        },
        "traffic": {"parentRefs": [{"name": "models"}]},
    }
)
REVISION = revision_hash(SPEC)
ONE = MemberTarget("east", 1)


@pytest.fixture
def east(local_fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster, with a Lease of our own so that an operator may work there meanwhile."""
    monkeypatch.setattr(session, "LEASE_NAME", LEASE)
    monkeypatch.setattr(session, "LEASE_NAMESPACE", NAMESPACE)
    cluster = local_fleet.clusters["east"]
    yield cluster
    cluster.kubectl("delete", EVERYTHING, "-n", NAMESPACE, "-l", f"assay.dev/deployment={NAME}")
    cluster.kubectl("delete", "lease", LEASE, "-n", NAMESPACE, "--ignore-not-found")


def credentials(cluster: Cluster) -> Credentials:
    return kubeconfig.parse(cluster.kubeconfig.read_text(), base=cluster.kubeconfig.parent)


def a_cluster_spec() -> ModelClusterSpec:
    return ModelClusterSpec.model_validate(
        {
            "clusterSource": {"kubeConfig": {"secretName": "east"}},
            "prometheus": {"service": "monitoring/prometheus:9090"},
        }
    )


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  (no event tells)
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def connected(cluster: Cluster, origin: str = "origin-1") -> AsyncIterator[Member]:
    async def read() -> Credentials:
        return credentials(cluster)

    member = Member("east", a_cluster_spec(), read, origin, lambda *_: None, lambda _: None)
    task = asyncio.create_task(member.run())
    try:
        await until(lambda: member.state.reachable)
        yield member
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def a_plan(
    *,
    serves: bool = True,
    uri: str | None = None,
    runs: bool = True,
    spec: ModelDeploymentSpec = SPEC,
    share: MemberTarget = ONE,
) -> MemberPlan:
    ref = {"revision": REVISION, "version": "7", "digest": SPEC.model.digest}
    status: dict[str, Any] = {"clusters": [{"name": "east", "reachable": True}]}
    if runs:
        status["stable"] = ref
    if serves and runs:
        status["clusters"][0]["revision"] = REVISION
    if uri:
        spec = spec.model_copy(update={"model": spec.model.model_copy(update={"uri": uri})})
    template = pod_template(NAME, NAMESPACE, spec, REVISION, "localhost/assay-server:dev")
    target = Target(
        name=NAME,
        namespace=NAMESPACE,
        uid="uid-1",
        origin="origin-1",
        spec=spec,
        status=ModelDeploymentStatus.model_validate(status),
        templates={REVISION: template},
        keys=KEYS,
        feedback_urls={"east": None},
        image="localhost/assay-server:dev",
    )
    return plan(target, share)


KEYS = receipts.new_keys(time.time())


def objects(cluster: Cluster) -> dict[str, Any]:
    """What is there, by "Kind/name"."""
    text = cluster.kubectl(
        "get",
        EVERYTHING,
        "-n",
        NAMESPACE,
        "-l",
        f"assay.dev/deployment={NAME}",
        "-o",
        "json",
        "--show-managed-fields",
    )
    return {
        f"{item['kind']}/{item['metadata']['name']}": item for item in json.loads(text)["items"]
    }


def applied_at(found: dict[str, Any]) -> dict[str, list[str]]:
    """When our field manager last wrote each object."""
    return {
        name: [
            entry["time"]
            for entry in item["metadata"]["managedFields"]
            if entry["manager"] == "assay"
        ]
        for name, item in found.items()
    }


def test_a_plan_becomes_objects_and_goes_again(east: Cluster) -> None:
    async def scenario() -> None:
        async with connected(east) as member:
            await member.submit(NAMESPACE, NAME, a_plan())
            found = objects(east)
            own = {name for name in found if "ledger-" not in name}  # StatefulSet's own history
            assert own == {
                f"ControllerRevision/{NAME}-{REVISION}",
                f"Deployment/{NAME}-{REVISION}",
                f"Service/{NAME}-{REVISION}",
                f"PodDisruptionBudget/{NAME}-{REVISION}",
                f"StatefulSet/{NAME}-ledger",
                f"Service/{NAME}-ledger",
                f"HTTPRoute/{NAME}",
                f"ConfigMap/{NAME}-rollout",
                f"Secret/{NAME}-labels",
                f"Secret/{NAME}-receipts",
            }
            owner = found[f"ControllerRevision/{NAME}-{REVISION}"]["metadata"]["uid"]
            [reference] = found[f"Deployment/{NAME}-{REVISION}"]["metadata"]["ownerReferences"]
            assert reference["uid"] == owner
            api = member.session.api if member.session else None
            assert api
            assert await receipts.read_keys({"east": api}, NAMESPACE, NAME) == (KEYS, True)
            await member.remove(NAMESPACE, NAME)
            left = {name for name in objects(east) if "ledger-" not in name}
            assert left <= {f"Deployment/{NAME}-{REVISION}", f"StatefulSet/{NAME}-ledger"}

    asyncio.run(scenario())


def test_what_is_so_is_not_written_and_drift_is_mended(east: Cluster) -> None:
    async def scenario() -> None:
        async with connected(east) as member:
            await member.submit(NAMESPACE, NAME, a_plan())
            before = applied_at(objects(east))
            await asyncio.sleep(1.1)  # managedFields have whole seconds
            await member.submit(NAMESPACE, NAME, a_plan())
            assert applied_at(objects(east)) == before
            ours = seen_route(member)
            patch = '[{"op":"replace","path":"/spec/rules/0/backendRefs/0/weight","value":3}]'
            east.kubectl("patch", "httproute", NAME, "-n", NAMESPACE, "--type=json", "-p", patch)
            await until(lambda: seen_route(member) != ours)
            await member.submit(NAMESPACE, NAME, a_plan())
            rule = objects(east)[f"HTTPRoute/{NAME}"]["spec"]["rules"][0]
            assert [backend["weight"] for backend in rule["backendRefs"]] == [99, 1]

    asyncio.run(scenario())


async def applied_by_another(east: Cluster) -> tuple[str, dict[str, list[str]]]:
    """Apply the plan as an operator that ends then; return its proof, and when it wrote what."""
    async with connected(east) as member:
        await member.submit(NAMESPACE, NAME, a_plan(), "made of this")
        proof = (await member.view(NAMESPACE, NAME)).applied
        assert proof
    await asyncio.sleep(1.1)  # managedFields have whole seconds
    return proof, applied_at(objects(east))


def test_who_starts_again_writes_nothing(east: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        proof, before = await applied_by_another(east)
        async with connected(east) as member:
            assert member.has_applied(NAMESPACE, NAME, "made of this", proof)
            monkeypatch.setattr(apply, "CHECK_SECONDS", 0.0)
            monkeypatch.setattr(apply, "CHECK_SHARE", 0.0)
            # What is not watched is looked at, and then everything is known again.
            await member.submit(NAMESPACE, NAME, a_plan(), "made of this")
            assert applied_at(objects(east)) == before
            assert (await member.view(NAMESPACE, NAME)).applied == proof
            await member.submit(NAMESPACE, NAME, a_plan(), "made of this")
            assert applied_at(objects(east)) == before

    asyncio.run(scenario())


ROUTE_PATCH = '[{"op":"replace","path":"/spec/rules/0/backendRefs/0/weight","value":3}]'
RECORD_PATCH = '[{"op":"replace","path":"/data/record.json","value":"{}"}]'


@pytest.mark.parametrize(
    ("kind", "name", "patch", "mark", "trusts"),
    [
        ("httproute", NAME, ROUTE_PATCH, "made of this", False),
        ("configmap", f"{NAME}-rollout", RECORD_PATCH, "made of this", True),
        ("configmap", f"{NAME}-rollout", RECORD_PATCH, "made of something else", False),
    ],
)
def test_what_changed_while_nobody_was_there_is_mended(
    east: Cluster, kind: str, name: str, patch: str, mark: str, *, trusts: bool
) -> None:
    async def scenario() -> None:
        proof, _ = await applied_by_another(east)
        wanted = objects(east)
        east.kubectl("patch", kind, name, "-n", NAMESPACE, "--type=json", "-p", patch)
        async with connected(east) as member:
            assert member.has_applied(NAMESPACE, NAME, mark, proof) is trusts
            await member.submit(NAMESPACE, NAME, a_plan(), mark)
            found = objects(east)
        assert found[f"HTTPRoute/{NAME}"]["spec"] == wanted[f"HTTPRoute/{NAME}"]["spec"]
        record = f"ConfigMap/{NAME}-rollout"
        assert found[record]["data"] == wanted[record]["data"]

    asyncio.run(scenario())


def seen_route(member: Member) -> str:
    """Hash of the route as the watch saw it last."""
    assert member.session
    seen = member.session.cache.get("HTTPRoute", NAMESPACE, NAME)
    return seen.digest if seen else ""


def test_a_revision_that_is_not_needed_goes_and_a_template_is_replaced(east: Cluster) -> None:
    async def scenario() -> None:
        async with connected(east) as member:
            await member.submit(NAMESPACE, NAME, a_plan(serves=False))
            changed = a_plan(serves=False, uri="https://models.invalid/right.skops")
            await settled(member, changed)
            template = objects(east)[f"ControllerRevision/{NAME}-{REVISION}"]["data"]["template"]
            assert "right.skops" in json.dumps(template)
            await settled(member, a_plan(runs=False))
            await until(lambda: f"Deployment/{NAME}-{REVISION}" not in objects(east))
            assert f"ControllerRevision/{NAME}-{REVISION}" not in objects(east)

    asyncio.run(scenario())


async def settled(member: Member, wanted: MemberPlan) -> None:
    """Submit until it is taken, as a reconcile does: orphaning the old owner takes a moment."""
    while True:
        try:
            await member.submit(NAMESPACE, NAME, wanted)
        except Exception:  # noqa: BLE001  (tried again)
            await asyncio.sleep(0.2)
        else:
            return


def test_watches_see_what_changed_while_the_server_was_down(east: Cluster) -> None:
    async def scenario() -> None:
        async with connected(east) as member:
            await member.submit(NAMESPACE, NAME, a_plan())
            assert (await member.view(NAMESPACE, NAME)).route
            east.stop("kube-apiserver")
            await until(lambda: not member.state.reachable)
            assert member.state.reason is Reason.MEMBERS_UNREACHABLE
            assert not (await member.view(NAMESPACE, NAME)).reachable
            east.start("kube-apiserver")
            await until(lambda: member.state.reachable)
            east.kubectl("delete", "httproute", NAME, "-n", NAMESPACE)
            while (await member.view(NAMESPACE, NAME)).route:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    asyncio.run(scenario())


def test_the_second_hub_is_kept_out(east: Cluster) -> None:
    async def scenario() -> None:
        async with connected(east):

            async def read() -> Credentials:
                return credentials(east)

            other = Member(
                "east", a_cluster_spec(), read, "origin-2", lambda *_: None, lambda _: None
            )
            task = asyncio.create_task(other.run())
            await until(lambda: other.state.reason is Reason.HELD_BY_OTHER_HUB)
            assert "origin-1" in other.state.message
            task.cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("data", "reason", "message"),
    [
        (None, Reason.SECRET_MISSING, "there is no Secret east"),
        ({"other": b""}, Reason.SECRET_MISSING, "has no key kubeconfig"),
        ({"kubeconfig": b": : x"}, Reason.CREDENTIALS_INVALID, "is not YAML"),
        ({"kubeconfig": b"\xff"}, Reason.CREDENTIALS_INVALID, "is no text"),
    ],
)
def test_a_secret_that_cannot_be_used(
    data: dict[str, bytes] | None, reason: Reason, message: str
) -> None:
    async def scenario() -> None:
        async def secret(_: str) -> dict[str, bytes] | None:
            return data

        members = Registry("origin-1", secret, lambda *_: None, lambda _: None)
        members.update(Candidate("east", {}, a_cluster_spec()))
        member = members.get("east")
        assert member
        await until(lambda: member.state.reason is reason)
        assert message in member.state.message
        await members.close()

    asyncio.run(scenario())


def test_unauthorized_and_then_new_credentials(east: Cluster) -> None:
    async def scenario() -> None:
        good = credentials(east)
        offered = [dataclasses.replace(good, certificate=None, key=None, token="nonsense")]

        async def read() -> Credentials:
            return offered[-1]

        member = Member("east", a_cluster_spec(), read, "origin-1", lambda *_: None, lambda _: None)
        task = asyncio.create_task(member.run())
        await until(lambda: member.state.reason is Reason.CREDENTIALS_INVALID)
        assert "refuses the credentials" in member.state.message
        assert "nonsense" not in member.state.message
        offered.append(good)
        member.reconnect()
        await until(lambda: member.state.reachable)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
