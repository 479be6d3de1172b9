"""The chart on a real cluster: what it installs, and what it lets a hub do and not do."""

import json
import pathlib
from collections.abc import Iterator

import pytest
import yaml

from assay.controller.settings import read
from assay.render.revision import STRICT, Policy
from demo.stage import CHART, MEMBER_RELEASE, SYSTEM, member_kubeconfig
from fleet import Cluster, Fleet
from fleet.processes import CommandError

pytestmark = pytest.mark.cluster

ACCESS = (
    "operator.accessProviders[0].name=cloud,operator.accessProviders[0].command=/plugins/cloud,"
    "operator.accessProviders[0].args={--quiet},operator.accessProviders[0].provideClusterInfo=true"
)
ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def member(local_fleet: Fleet) -> Iterator[Cluster]:
    """A cluster in which the chart is installed as a member."""
    cluster = local_fleet.clusters["west"]
    cluster.helm(
        *("upgrade", "--install", MEMBER_RELEASE, str(CHART), "-n", SYSTEM, "--create-namespace"),
        *("--set", settings("member")),
    )
    yield cluster
    cluster.helm("uninstall", MEMBER_RELEASE, "-n", SYSTEM, "--ignore-not-found")


def settings(role: str) -> str:
    return f"role={role}" + ("" if role == "hub" else ",member.namespaces={ml}")


def rendered(cluster: Cluster, *words: str) -> list[dict[str, object]]:
    text = cluster.helm("template", "assay", str(CHART), "-n", SYSTEM, *words)
    return [document for document in yaml.safe_load_all(text) if document]


@pytest.mark.parametrize("role", ["hub", "member", "both"])
def test_lint_is_strict(local_fleet: Fleet, role: str) -> None:
    hub = local_fleet.clusters["hub"]
    hub.helm("lint", "--strict", str(CHART), "-n", SYSTEM, "--set", settings(role))


@pytest.mark.parametrize("role", ["hub", "member", "both"])
def test_everything_is_accepted_by_the_server(local_fleet: Fleet, role: str) -> None:
    hub = local_fleet.clusters["hub"]
    hub.helm(
        *("template", "assay", str(CHART), "-n", SYSTEM, "--create-namespace"),
        *("--set", settings(role), "--validate"),
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


def test_what_models_may_be_reaches_the_operator(local_fleet: Fleet) -> None:
    """As its settings read it (assay.controller.settings)."""
    types = "operator.trustedTypes={sklearn.tree._tree.Tree,a.B}"

    def policy(*words: str) -> Policy:
        [operator] = [
            document
            for document in rendered(local_fleet.clusters["hub"], *words)
            if document["kind"] == "Deployment"
        ]
        [container] = operator["spec"]["template"]["spec"]["containers"]  # type: ignore[index]
        given = {item["name"]: item.get("value", "x") for item in container["env"]}
        return read(given).policy

    assert policy() == STRICT
    assert policy("--set", f"{types},operator.allowUnsafeModels=true") == Policy(
        ("a.B", "sklearn.tree._tree.Tree"), unsafe_models=True
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("role=everything", "role"),
        ("operator.logLevel=loud", "logLevel"),
        ("operator.image.digest=md5:x", "digest"),
        ("operator.trustedTypes={Tree}", "trustedTypes"),
        ("operator.allowUnsafeModels=yes", "allowUnsafeModels"),
        ("operator.accessProviders[0].name=x,operator.accessProviders[0].command=sh", "command"),
        ("operator.accessProviders[0].name=x,operator.accessProviders[0].shell=x", "shell"),
        (ACCESS, "needs operator.clusterProfileNamespaces"),
        ("colour=red", "colour"),
    ],
)
def test_wrong_values_are_refused(local_fleet: Fleet, setting: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        rendered(local_fleet.clusters["hub"], "--set", setting)


def test_access_providers_reach_the_operator(local_fleet: Fleet, tmp_path: pathlib.Path) -> None:
    """As it reads their file, with the right to read ClusterProfiles in the named namespace only."""
    documents = rendered(
        local_fleet.clusters["hub"],
        "--set",
        f"{ACCESS},operator.clusterProfileNamespaces={{fleet}}",
    )
    found = {(item["kind"], name_of(item)): item for item in documents}
    file = tmp_path / "providers.json"
    data = found["ConfigMap", "assay-access-providers"]["data"]
    file.write_text(data["providers.json"])  # type: ignore[index]
    container = found["Deployment", "assay-operator"]["spec"]["template"]["spec"]["containers"][0]  # type: ignore[index]
    given = {item["name"]: item.get("value", "x") for item in container["env"]}
    assert given["ASSAY_ACCESS_PROVIDERS_FILE"] == "/etc/assay/access-providers/providers.json"
    settings = read({**given, "ASSAY_ACCESS_PROVIDERS_FILE": str(file)})
    assert settings.profile_namespaces == ("fleet",)
    [provider] = settings.providers
    how = provider.exec_config
    assert (provider.name, how.command, how.args) == ("cloud", "/plugins/cloud", ("--quiet",))
    assert how.provide_cluster_info
    role = found["Role", "assay-cluster-profiles"]
    assert role["metadata"]["namespace"] == "fleet"  # type: ignore[index]
    assert role["rules"][0]["verbs"] == ["get", "list", "watch"]  # type: ignore[index]
    plain = {name_of(item) for item in rendered(local_fleet.clusters["hub"])}
    assert not plain & {"assay-cluster-profiles", "assay-access-providers"}


def name_of(document: dict[str, object]) -> str:
    return document["metadata"]["name"]  # type: ignore[index, no-any-return]


def test_two_operators_need_an_election(local_fleet: Fleet) -> None:
    words = ("--set", "operator.replicas=2,operator.leaderElection=false")
    with pytest.raises(CommandError, match=r"needs operator\.leaderElection"):
        rendered(local_fleet.clusters["hub"], *words)


@pytest.mark.parametrize("role", ["member", "both"])
def test_rights_in_every_namespace_must_be_asked_for(local_fleet: Fleet, role: str) -> None:
    hub = local_fleet.clusters["hub"]
    with pytest.raises(CommandError, match=r"member\.namespaces must name"):
        rendered(hub, "--set", f"role={role}")
    named = bindings(rendered(hub, "--set", settings(role)))
    assert named == [("RoleBinding", "ml")]
    everywhere = rendered(hub, "--set", f"role={role},member.allNamespaces=true")
    assert bindings(everywhere) == [("ClusterRoleBinding", None)]


def bindings(documents: list[dict[str, object]]) -> list[tuple[object, object]]:
    """Kind and namespace of what gives the right to write."""
    found = []
    for document in documents:
        metadata, role = document["metadata"], document.get("roleRef", {})
        assert isinstance(metadata, dict)
        assert isinstance(role, dict)
        if role.get("name") == "assay-member-write":
            found.append((document["kind"], metadata.get("namespace")))
    return found


def may(cluster: Cluster, verb: str, resource: str, namespace: str = "") -> bool:
    """Ask the server's authorizer; any trouble with the question is an error, not a "no".

    `resource` is ``plural[.group][/subresource][:name]``; no namespace means all of them.
    """
    kind, _, name = resource.partition(":")
    kind, _, subresource = kind.partition("/")
    plural, _, group = kind.partition(".")
    attributes = {"verb": verb, "resource": plural, "group": group, "namespace": namespace}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{SYSTEM}:assay-hub",
            "groups": [
                "system:authenticated",
                "system:serviceaccounts",
                f"system:serviceaccounts:{SYSTEM}",
            ],
            "resourceAttributes": {**attributes, "subresource": subresource, "name": name},
        },
    }
    answer = cluster.kubectl("create", "-f", "-", "-o", "json", input=json.dumps(review))
    allowed = json.loads(answer)["status"]["allowed"]
    assert isinstance(allowed, bool)
    return allowed


@pytest.mark.parametrize(
    ("verb", "resource", "namespace"),
    [
        ("patch", "deployments.apps", "ml"),
        ("list", "deployments.apps", ""),
        ("watch", "httproutes.gateway.networking.k8s.io", ""),
        ("watch", "backendtrafficpolicies.gateway.envoyproxy.io", ""),
        ("delete", "backendtrafficpolicies.gateway.envoyproxy.io", "ml"),
        ("deletecollection", "services", "ml"),
        ("delete", "httproutes.gateway.networking.k8s.io", "ml"),
        ("watch", "services", ""),
        ("watch", "poddisruptionbudgets.policy", ""),
        ("delete", "poddisruptionbudgets.policy", "ml"),
        ("watch", "horizontalpodautoscalers.autoscaling", ""),
        ("delete", "horizontalpodautoscalers.autoscaling", "ml"),
        ("get", "secrets", "ml"),
        ("list", "pods", "ml"),
        ("update", "leases.coordination.k8s.io:assay", SYSTEM),
    ],
)
def test_a_hub_may(member: Cluster, verb: str, resource: str, namespace: str) -> None:
    assert may(member, verb, resource, namespace)


@pytest.mark.parametrize(
    ("verb", "resource", "namespace"),
    [
        ("list", "secrets", "ml"),
        ("watch", "configmaps", "ml"),
        ("get", "secrets", "kube-system"),
        ("get", "secrets", SYSTEM),
        ("patch", "deployments.apps", "default"),
        ("get", "deployments.apps", "ml"),
        ("get", "services", "ml"),
        ("create", "pods", "ml"),
        ("create", "pods/exec", "ml"),
        ("get", "nodes", ""),
        ("create", "clusterrolebindings.rbac.authorization.k8s.io", ""),
        ("create", "rolebindings.rbac.authorization.k8s.io", "ml"),
        ("update", "leases.coordination.k8s.io:other", SYSTEM),
        ("get", "services/proxy", "ml"),
        ("create", "serviceaccounts/token", SYSTEM),
        ("impersonate", "users", ""),
    ],
)
def test_a_hub_may_not(member: Cluster, verb: str, resource: str, namespace: str) -> None:
    assert not may(member, verb, resource, namespace)


def test_only_the_prometheus_service_is_proxied(member: Cluster) -> None:
    assert may(member, "get", "services/proxy:prometheus:9090", "monitoring")
    assert not may(member, "get", "services/proxy:other:9090", "monitoring")


def test_the_kubeconfig_is_usable(member: Cluster, tmp_path: pathlib.Path) -> None:
    document = yaml.safe_load(member_kubeconfig(member))
    [user] = document["users"]
    assert set(user["user"]) == {"token"}
    path = tmp_path / "member.kubeconfig"
    path.write_text(yaml.safe_dump(document))
    answer = member.kubectl(f"--kubeconfig={path}", "auth", "whoami", "-o", "yaml")
    assert f"system:serviceaccount:{SYSTEM}:assay-hub" in answer
