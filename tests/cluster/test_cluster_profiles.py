"""A member that is a ClusterProfile: real API servers, a real program that gives real tokens."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.api.conditions import Reason
from assay.api.model_cluster import ClusterProfileRef, ModelClusterSpec
from assay.controller.profiles import Profiles
from assay.members import providers, resources, session
from assay.members.api import Api
from assay.members.member import Member
from assay.members.registry import Registry
from assay.members.watch import Watch
from assay.placement import Candidate
from fleet import Cluster, Fleet
from tests.cluster.test_members import (
    EVERYTHING,
    LEASE,
    NAME,
    NAMESPACE,
    a_plan,
    credentials,
    objects,
    until,
)

pytestmark = pytest.mark.cluster

CRD = Path(__file__).parent / "clusterprofiles.yaml"
ACCOUNT = "assay-profile-test"
FLEET = "fleet-profiles-test"
REF = ClusterProfileRef(namespace=FLEET, name="east")
PLUGIN = """#!/bin/sh
# Good for 10 s, so that it is renewed after 8; the token itself is good for longer.
printf '{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status":'
printf '{{"token": "%s", "expirationTimestamp": "%s"}}}}' \\
  "$(cat {directory}/token)" "$(date -u -d '+10 seconds' +%FT%TZ)"
"""


@pytest.fixture
def hub(local_fleet: Fleet) -> Iterator[Cluster]:
    """The hub with a namespace for ClusterProfiles, and without their kind."""
    cluster = local_fleet.clusters["hub"]
    cluster.kubectl("create", "namespace", FLEET)
    yield cluster
    cluster.kubectl("delete", "namespace", FLEET)
    cluster.kubectl("delete", "--ignore-not-found", "-f", str(CRD))


@pytest.fixture
def east(local_fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster with an account for us, and a Lease of our own."""
    monkeypatch.setattr(session, "LEASE_NAME", LEASE)
    monkeypatch.setattr(session, "LEASE_NAMESPACE", NAMESPACE)
    cluster = local_fleet.clusters["east"]
    cluster.kubectl("create", "serviceaccount", ACCOUNT, "-n", NAMESPACE)
    account = f"--serviceaccount={NAMESPACE}:{ACCOUNT}"
    cluster.kubectl("create", "clusterrolebinding", ACCOUNT, "--clusterrole=cluster-admin", account)
    for name in ("one", "two"):
        cluster.kubectl("create", "secret", "generic", f"{ACCOUNT}-{name}", "-n", NAMESPACE)
    yield cluster
    secrets = [f"secret/{ACCOUNT}-{name}" for name in ("one", "two")]
    mine = (f"serviceaccount/{ACCOUNT}", f"lease/{LEASE}", *secrets)
    cluster.kubectl("delete", EVERYTHING, "-n", NAMESPACE, "-l", f"assay.dev/deployment={NAME}")
    cluster.kubectl("delete", "--ignore-not-found", "-n", NAMESPACE, *mine)
    cluster.kubectl("delete", "clusterrolebinding", ACCOUNT)


def a_token(cluster: Cluster, name: str) -> str:
    """A token that ends with a Secret: deleting that takes the token back."""
    bound = ("--bound-object-kind=Secret", f"--bound-object-name={ACCOUNT}-{name}")
    return cluster.kubectl("create", "token", ACCOUNT, "-n", NAMESPACE, *bound).strip()


def offer(hub: Cluster, east: Cluster, **fields: str) -> None:
    """Say in the profile how the cluster is reached."""
    [cluster] = yaml.safe_load(east.kubeconfig.read_text())["clusters"]
    section = {
        name: cluster["cluster"][name] for name in ("server", "certificate-authority-data")
    } | fields
    healthy = {
        "type": "ControlPlaneHealthy",
        "status": "False",
        "reason": "Maintenance",
        "message": "for a while",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    offered = [{"name": "other", "cluster": section}, {"name": "script", "cluster": section}]
    status = {"status": {"accessProviders": offered, "conditions": [healthy]}}
    words = ("patch", "clusterprofile", "east", "-n", FLEET, "--subresource=status")
    hub.kubectl(*words, "--type=merge", "-p", json.dumps(status))


@contextlib.asynccontextmanager
async def profiles_of(hub: Cluster, directory: Path) -> AsyncIterator[tuple[Profiles, Member]]:
    """What the operator has of a hub: profiles, their watch, and the member that names one."""
    program = directory / "plugin.sh"
    program.write_text(PLUGIN.format(directory=directory))
    program.chmod(0o755)
    config = {"apiVersion": providers.PROTOCOL, "command": str(program)}
    listed = providers.parse(json.dumps({"providers": [{"name": "script", "execConfig": config}]}))

    async def secret(_: str) -> None:
        return None

    api = Api(credentials(hub), "hub")

    def changed(namespace: str, name: str) -> None:
        members.profile_changed(namespace, name)

    profiles = Profiles(api, changed, lambda: None)
    members = Registry(
        *("origin-1", secret, lambda *_: None, lambda _: None),
        profile=profiles.read,
        providers=listed,
    )
    spec = {
        "clusterSource": {"clusterProfileRef": REF.to_dict()},
        "prometheus": {"service": "monitoring/prometheus:9090"},
    }
    watch = Watch(api, resources.path("ClusterProfile", FLEET), profiles.store(FLEET))
    watching = asyncio.create_task(watch.run())
    members.update(Candidate("east", {}, ModelClusterSpec.model_validate(spec)))
    try:
        member = members.get("east")
        assert member
        yield profiles, member
    finally:
        watching.cancel()
        await members.close()
        await api.close()


async def said(member: Member, reason: Reason, words: str) -> None:
    await until(lambda: member.state.reason is reason and words in member.state.message)


def test_a_member_that_is_a_cluster_profile(hub: Cluster, east: Cluster, tmp_path: Path) -> None:
    document: dict[str, Any] = {
        "apiVersion": resources.API_VERSIONS["ClusterProfile"],
        "kind": "ClusterProfile",
        "metadata": {"name": "east", "namespace": FLEET},
        "spec": {"clusterManager": {"name": "test"}},
    }

    async def scenario() -> None:
        async with profiles_of(hub, tmp_path) as (profiles, member):
            missing = Reason.CLUSTER_PROFILE_MISSING
            await said(member, missing, "the hub does not know ClusterProfiles")
            hub.kubectl("apply", "-f", str(CRD))
            hub.kubectl("wait", "--for=condition=Established", "-f", str(CRD))
            await said(member, missing, f"there is no ClusterProfile {FLEET}/east")
            hub.kubectl("create", "-f", "-", input=json.dumps(document))
            await said(member, Reason.ACCESS_PROVIDER_NOT_ALLOWED, "access providers none")
            offer(hub, east)
            await said(member, Reason.CREDENTIAL_PLUGIN_FAILED, "token")
            first = a_token(east, "one")
            (tmp_path / "token").write_text(first)
            await until(lambda: member.state.reachable)

            await until(lambda: bool(profiles.health(REF)))
            [health] = profiles.health(REF)
            assert (health.status, health.reason) == ("False", "Maintenance")  # and it is used
            await member.submit(NAMESPACE, NAME, a_plan())
            assert f"HTTPRoute/{NAME}" in objects(east)

            opened, login = member.session, member.session and member.session.api.credentials.login
            assert opened
            assert login
            second = a_token(east, "two")
            (tmp_path / "token").write_text(second)
            await until(lambda: bool(login.credential and login.credential.token == second))
            east.kubectl("delete", "secret", f"{ACCOUNT}-one", "-n", NAMESPACE)
            await member.submit(NAMESPACE, NAME, a_plan(runs=False))
            assert f"HTTPRoute/{NAME}" in objects(east)
            assert member.session is opened  # with all that it has seen; nobody connected anew
            assert member.state.reachable

            offer(hub, east, server="https://127.0.0.1:1")
            await said(member, Reason.MEMBERS_UNREACHABLE, "https://127.0.0.1:1")
            offer(hub, east)
            await until(lambda: member.state.reachable)
            hub.kubectl("delete", "clusterprofile", "east", "-n", FLEET)
            await said(member, missing, "there is no ClusterProfile")
            assert f"HTTPRoute/{NAME}" in objects(east)  # absence never deletes

    asyncio.run(scenario())
