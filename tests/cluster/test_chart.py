"""The chart on a real cluster: what it installs, and what it lets a hub do and not do."""

import pathlib
from collections.abc import Iterator

import pytest
import yaml

from demo.stage import CHART, MEMBER_RELEASE, SYSTEM, member_kubeconfig
from fleet import Cluster, Fleet
from fleet.processes import CommandError

pytestmark = pytest.mark.cluster

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def member(local_fleet: Fleet) -> Iterator[Cluster]:
    """A cluster in which the chart is installed as a member."""
    cluster = local_fleet.clusters["west"]
    cluster.helm(
        *("upgrade", "--install", MEMBER_RELEASE, str(CHART), "-n", SYSTEM, "--create-namespace"),
        *("--set", "role=member"),
    )
    yield cluster
    cluster.helm("uninstall", MEMBER_RELEASE, "-n", SYSTEM, "--ignore-not-found")


def rendered(cluster: Cluster, *settings: str) -> list[dict[str, object]]:
    text = cluster.helm("template", "assay", str(CHART), "-n", SYSTEM, *settings)
    return [document for document in yaml.safe_load_all(text) if document]


@pytest.mark.parametrize("role", ["hub", "member", "both"])
def test_lint_is_strict(local_fleet: Fleet, role: str) -> None:
    hub = local_fleet.clusters["hub"]
    hub.helm("lint", "--strict", str(CHART), "-n", SYSTEM, "--set", f"role={role}")


@pytest.mark.parametrize("role", ["hub", "member", "both"])
def test_everything_is_accepted_by_the_server(local_fleet: Fleet, role: str) -> None:
    hub = local_fleet.clusters["hub"]
    hub.helm(
        *("template", "assay", str(CHART), "-n", SYSTEM, "--create-namespace"),
        *("--set", f"role={role}", "--validate"),
    )


def test_crds_are_those_of_the_repository_and_stay(local_fleet: Fleet) -> None:
    found = {}
    for document in rendered(local_fleet.clusters["hub"]):
        if document["kind"] == "CustomResourceDefinition":
            metadata = document["metadata"]
            assert isinstance(metadata, dict)
            assert metadata.pop("annotations") == {"helm.sh/resource-policy": "keep"}
            found[metadata["name"]] = document
    written = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")]
    assert found == {document["metadata"]["name"]: document for document in written}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("role=everything", "role"),
        ("operator.logLevel=loud", "logLevel"),
        ("operator.image.digest=md5:x", "digest"),
        ("colour=red", "colour"),
    ],
)
def test_wrong_values_are_refused(local_fleet: Fleet, setting: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        rendered(local_fleet.clusters["hub"], "--set", setting)


def test_two_operators_need_an_election(local_fleet: Fleet) -> None:
    settings = ("--set", "operator.replicas=2,operator.leaderElection=false")
    with pytest.raises(CommandError, match=r"needs operator\.leaderElection"):
        rendered(local_fleet.clusters["hub"], *settings)


def may(cluster: Cluster, verb: str, resource: str, *more: str) -> bool:
    try:
        answer = cluster.kubectl(
            *("auth", "can-i", verb, resource, *more),
            f"--as=system:serviceaccount:{SYSTEM}:assay-hub",
        )
    except CommandError:
        return False
    return answer.strip().startswith("yes")


@pytest.mark.parametrize(
    ("verb", "resource", "where"),
    [
        ("patch", "deployments.apps", "-n=ml"),
        ("watch", "httproutes.gateway.networking.k8s.io", "--all-namespaces"),
        ("deletecollection", "services", "-n=ml"),
        ("get", "secrets", "-n=ml"),
        ("list", "pods", "-n=ml"),
        ("update", "leases.coordination.k8s.io/assay", f"-n={SYSTEM}"),
    ],
)
def test_a_hub_may(member: Cluster, verb: str, resource: str, where: str) -> None:
    assert may(member, verb, resource, *where.split())


@pytest.mark.parametrize(
    ("verb", "resource", "where"),
    [
        ("list", "secrets", "-n=ml"),
        ("create", "pods", "-n=ml"),
        ("create", "pods", "-n=ml --subresource=exec"),
        ("get", "nodes", "--all-namespaces"),
        ("create", "clusterrolebindings", "--all-namespaces"),
        ("update", "leases.coordination.k8s.io/other", f"-n={SYSTEM}"),
        ("get", "services", "-n=ml --subresource=proxy"),
        ("create", "serviceaccounts", f"-n={SYSTEM} --subresource=token"),
        ("impersonate", "users", "--all-namespaces"),
    ],
)
def test_a_hub_may_not(member: Cluster, verb: str, resource: str, where: str) -> None:
    assert not may(member, verb, resource, *where.split())


def test_only_the_prometheus_service_is_proxied(member: Cluster) -> None:
    proxied = ("--subresource=proxy", "-n=monitoring")
    assert may(member, "get", "services/prometheus:9090", *proxied)
    assert not may(member, "get", "services/other:9090", *proxied)


def test_the_kubeconfig_is_usable(member: Cluster, tmp_path: pathlib.Path) -> None:
    document = yaml.safe_load(member_kubeconfig(member))
    [user] = document["users"]
    assert set(user["user"]) == {"token"}
    path = tmp_path / "member.kubeconfig"
    path.write_text(yaml.safe_dump(document))
    answer = member.kubectl(f"--kubeconfig={path}", "auth", "whoami", "-o", "yaml")
    assert f"system:serviceaccount:{SYSTEM}:assay-hub" in answer
