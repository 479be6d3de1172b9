"""The chart on a real cluster: what it installs, and what it lets a hub do and not do."""

import json
import pathlib
import re
from collections.abc import Iterator

import pytest
import yaml

from assay.controller.settings import read
from assay.members import rights
from assay.render.naming import LEDGER, SERVER, pod_labels
from assay.render.revision import STRICT, Policy
from demo.stage import CHART, MEMBER_RELEASE, SYSTEM, member_kubeconfig
from fleet import Cluster, Fleet
from fleet.kubeapi import collection_path
from fleet.processes import CommandError

pytestmark = pytest.mark.cluster

ACCESS = (
    "operator.accessProviders[0].name=cloud,operator.accessProviders[0].command=/plugins/cloud,"
    "operator.accessProviders[0].args={--quiet},operator.accessProviders[0].provideClusterInfo=true"
)
ROOT = pathlib.Path(__file__).parent.parent.parent
EVERYTHING = (
    *("--set", "operator.replicas=2,operator.namespaces={ml,default},networkPolicy.enabled=true"),
    *("--set", "monitoring.podMonitors.enabled=true,monitoring.rules.enabled=true"),
    *("--set", "monitoring.dashboards.enabled=true,test.clusterLabels.tier=serving"),
    *("--set", "policies.allowedURIs={https://models.example.com/},policies.requireSignature=true"),
    *("--set-string", "policies.largestMargins.F1=0.02,policies.smallestConfidence=0.95"),
    *("--set", "policies.approver.isNotAuthor=true,policies.actions={Warn,Audit}"),
    *("--set-json", 'networkPolicy.predictionClients=[{"ipBlock":{"cidr":"10.0.0.0/8"}}]'),
)
"""Every part of the chart that is off by default."""
DIGEST = f"sha256:{'ab' * 32}"
OPERATORS = {"PodMonitor", "PrometheusRule"}
"""Kinds of the Prometheus Operator, which no API server of the fleet knows: they are looked at here, not there."""


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
    hub.helm("lint", "--strict", str(CHART), "-n", SYSTEM, "--set", settings(role), *EVERYTHING)


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
    answer = cluster.api().request("POST", collection_path(review), review)
    allowed = answer["status"]["allowed"]
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


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--set", "operator.replicas=2"),
        ("--set", f"operator.image.digest={DIGEST},operator.serverImage=r/s@{DIGEST}"),
        ("--set", "operator.namespaces={default,ml}"),
        ("--set", "role=both,member.allNamespaces=true,member.token=false"),
        ("--set", "role=member,member.namespaces={ml,default},member.prometheus.name="),
        ("--set", "crds.install=false,operator.podAnnotations=null"),
        ("--set", "role=both,member.namespaces={ml}", *EVERYTHING),
    ],
    ids=str,
)
def test_values_make_what_a_server_accepts(local_fleet: Fleet, words: tuple[str, ...]) -> None:
    """By a dry run of all but PodMonitors and PrometheusRules; of those, that they are whole.

    Not of the pod of `helm test`: it needs an account that is not there in a dry run, and a test of its own has it.
    """
    hub = local_fleet.clusters["hub"]
    hub.kubectl("apply", "-f", "-", input=json.dumps(namespace(SYSTEM)))
    documents = rendered(hub, *words)
    for document in documents:
        if document["kind"] in OPERATORS:
            assert document["apiVersion"] == "monitoring.coreos.com/v1"
            assert document["spec"]
    items = [document for document in documents if document["kind"] not in {"Pod", *OPERATORS}]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    hub.kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", input=text
    )


def namespace(name: str, **labels: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def test_images_can_be_pinned_by_digest(local_fleet: Fleet) -> None:
    words = ("--set", f"operator.image.repository=r/o,operator.image.digest={DIGEST}")
    documents = rendered(local_fleet.clusters["hub"], *words)
    images = re.findall(r'"image": "([^"]*)"', json.dumps(documents))
    assert images == [f"r/o@{DIGEST}"] * 2, "the operator, and the pod of helm test"


def test_pods_are_admitted_where_only_restricted_ones_are(local_fleet: Fleet) -> None:
    hub = local_fleet.clusters["hub"]
    found = {item["kind"]: item for item in rendered(hub)}
    specs = [found["Deployment"]["spec"]["template"]["spec"], found["Pod"]["spec"]]  # type: ignore[index]
    name = "restricted-only"
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    hub.kubectl("apply", "-f", "-", input=json.dumps(namespace(name, **restricted)))
    try:
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        for spec in specs:
            owner = {"name": spec["serviceAccountName"], "namespace": name}
            hub.kubectl("apply", "-f", "-", input=json.dumps({**account, "metadata": owner}))
            pod = {"apiVersion": "v1", "kind": "Pod", "spec": spec}
            pod["metadata"] = {"name": "pod", "namespace": name}
            hub.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(pod))
    finally:
        hub.kubectl("delete", "namespace", name, "--wait=false")


def test_two_operators_have_a_budget(local_fleet: Fleet) -> None:
    kinds = [item["kind"] for item in rendered(local_fleet.clusters["hub"])]
    assert "PodDisruptionBudget" not in kinds
    documents = rendered(local_fleet.clusters["hub"], "--set", "operator.replicas=2")
    [budget] = [item for item in documents if item["kind"] == "PodDisruptionBudget"]
    [operator] = [item for item in documents if item["kind"] == "Deployment"]
    assert budget["spec"]["selector"] == operator["spec"]["selector"]  # type: ignore[index]


def test_network_policies_select_the_pods_that_there_are(local_fleet: Fleet) -> None:
    """The fleet's network enforces none, so what is tested is whom they are about."""
    words = ("--set", "role=both,member.namespaces={ml},networkPolicy.enabled=true")
    documents = rendered(local_fleet.clusters["hub"], *words)
    policies = {name_of(item): item for item in documents if item["kind"] == "NetworkPolicy"}
    [operator] = [item for item in documents if item["kind"] == "Deployment"]
    pods = {
        "assay-operator": operator["spec"]["template"]["metadata"]["labels"],  # type: ignore[index]
        "assay-servers": pod_labels("fraud", SERVER, "a" * 10, "7"),
        "assay-ledgers": pod_labels("fraud", LEDGER),
    }
    assert policies.keys() == pods.keys()
    for name, policy in policies.items():
        selector = policy["spec"]["podSelector"]["matchLabels"]  # type: ignore[index]
        chosen = {pod for pod, labels in pods.items() if selector.items() <= labels.items()}
        assert chosen == {name}
    everywhere = "role=member,member.allNamespaces=true,networkPolicy.enabled=true"
    with pytest.raises(CommandError, match=r"networkPolicy\.enabled needs member\.namespaces"):
        rendered(local_fleet.clusters["hub"], "--set", everywhere)


def test_alerts_link_to_where_runbooks_are_read(local_fleet: Fleet) -> None:
    where = "https://wiki.example.com/assay"
    words = ("--set", f"role=both,member.namespaces={{ml}},monitoring.rules.runbookURL={where}")
    documents = rendered(
        local_fleet.clusters["hub"], *words, "--set", "monitoring.rules.enabled=true"
    )
    rules = [item for item in documents if item["kind"] == "PrometheusRule"]
    links = re.findall(r'"runbook_url": "([^"]*)"', json.dumps(rules))
    assert len(links) == 19
    assert all(link.startswith(f"{where}#assay") for link in links)


def test_dashboards_are_found_by_grafana(local_fleet: Fleet) -> None:
    words = ("--set", "role=both,member.namespaces={ml},monitoring.dashboards.enabled=true")
    documents = rendered(local_fleet.clusters["hub"], *words)
    maps = [item for item in documents if item["kind"] == "ConfigMap"]
    titles = set()
    for item in maps:
        assert item["metadata"]["labels"]["grafana_dashboard"] == "1"  # type: ignore[index]
        titles |= {json.loads(text)["title"] for text in item["data"].values()}  # type: ignore[attr-defined]
    assert titles == {"Assay: rollouts", "Assay: models"}


def test_an_operator_of_some_namespaces_has_no_rights_in_others(local_fleet: Fleet) -> None:
    words = ("--set", "operator.namespaces={ml,fraud}")
    documents = rendered(local_fleet.clusters["hub"], *words)
    by_role = [
        (item["kind"], item["metadata"].get("namespace"))  # type: ignore[attr-defined]
        for item in documents
        if item.get("roleRef", {}).get("name") == "assay-operator-deployments"  # type: ignore[attr-defined]
    ]
    assert by_role == [("RoleBinding", "ml"), ("RoleBinding", "fraud")]
    [everywhere] = [
        item
        for item in documents
        if (item["kind"], name_of(item)) == ("ClusterRole", "assay-operator")
    ]
    resources = {word for rule in everywhere["rules"] for word in rule["resources"]}  # type: ignore[attr-defined]
    assert resources == {"modelclusters", "modelclusters/status", "namespaces"}
    [operator] = [item for item in documents if item["kind"] == "Deployment"]
    [container] = operator["spec"]["template"]["spec"]["containers"]  # type: ignore[index]
    given = {item["name"]: item.get("value", "x") for item in container["env"]}
    assert read(given).namespaces == ("ml", "fraud")


def test_rights_are_those_that_the_code_uses(local_fleet: Fleet) -> None:
    """Every rule of the operator's roles against the list that is kept beside the code, both ways."""
    words = ("--set", f"role=both,member.namespaces={{ml}},{ACCESS}")
    documents = rendered(
        local_fleet.clusters["hub"], *words, "--set", "operator.clusterProfileNamespaces={fleet}"
    )
    found = {
        (name_of(item), kind, verb)
        for item in documents
        if item["kind"] in {"ClusterRole", "Role"} and name_of(item) not in FOR_PEOPLE
        for rule in item["rules"]  # type: ignore[attr-defined]
        for kind in rule["resources"]
        for verb in rule["verbs"]
    }
    used = {
        (role, kind, verb)
        for role, kinds in rights.USED.items()
        for kind, verbs in kinds.items()
        for verb in verbs
    }
    assert found == used
    assert not [
        item["rules"]
        for item in documents
        if "*" in json.dumps(item.get("rules", [])) and item["kind"] in {"ClusterRole", "Role"}
    ]


FOR_PEOPLE = {"assay-view", "assay-operate", "assay-test"}
