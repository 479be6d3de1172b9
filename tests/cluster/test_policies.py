"""The chart's policies on a real API server: for each what it allows and what it refuses."""

import json
import time
from collections.abc import Iterator

import pytest
import yaml

from demo.stage import CHART, SYSTEM
from fleet import Cluster
from fleet.kubeapi import ApiError
from tests.cluster.admission import Document, create, patch
from tests.cluster.test_crds import a_deployment, with_, without
from tests.cluster.test_requests import binding, request, role

pytestmark = pytest.mark.cluster

NAME = "governed"
WRITER = "system:serviceaccount:flux-system:kustomize-controller"
AUTHOR = "assay.dev/author"
VALUES = {
    "policies": {
        "allowedURIs": ["https://models.example.com/", "s3://models/"],
        "requireSignature": True,
        "largestMargins": {"F1": "0.02", "*": "0.05"},
        "smallestConfidence": "0.95",
        "approver": {"isNotAuthor": True, "trustedWriters": [WRITER]},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}},
    }
}
SIGNED = {"publicKeySecretName": "signers"}


def a_governed_deployment(author: str = "alice", **changes: object) -> Document:
    """One that every policy allows, with `changes` by path (dots as ``__``)."""
    document = with_(a_deployment(), "spec.placement.clusterSelector.matchLabels", {"tier": "none"})
    document["metadata"] |= {"name": NAME, "annotations": {AUTHOR: author}}
    document = with_(document, "spec.model.uri", "https://models.example.com/fraud-7.skops")
    document = with_(document, "spec.model.signature", SIGNED)
    document = with_(document, "spec.rollout.analysis.confidence", "0.95")
    metrics = [{"name": "f1", "type": "F1", "margin": "0.02"}]
    document = with_(document, "spec.rollout.analysis.metrics", metrics)
    for path, value in changes.items():
        document = with_(document, path.replace("__", "."), value)
    return document


@pytest.fixture(scope="module")
def hub(hub_with_crds: Cluster) -> Iterator[Cluster]:
    """alice and bob write and approve; the GitOps tool writes; all policies are on in `default`."""
    policies = hub_with_crds.helm(
        *("template", "assay", str(CHART), "-n", SYSTEM, "-s", "templates/hub-policies.yaml"),
        *("--set-json", f"policies={json.dumps(VALUES['policies'])}"),
    )
    write = role("governs", "get", "create", "patch", "update", "approve", "promote", "abort")
    users = [binding(user, "Role", "governs") for user in ("alice", "bob")]
    tool = binding("tool", "Role", "governs")
    tool["subjects"] = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": WRITER}]
    documents = [*filter(None, yaml.safe_load_all(policies)), write, *users, tool]
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    hub_with_crds.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=items)
    try:
        deadline = time.monotonic() + 30
        while len(problems := refused_by(hub_with_crds)) < 5:
            assert time.monotonic() < deadline, f"only {problems} are in force"
            time.sleep(0.2)
        create(hub_with_crds, a_governed_deployment(), "alice", keep=True)
        yield hub_with_crds
    finally:
        hub_with_crds.kubectl("delete", "--ignore-not-found", "mdep", NAME, "-n", "default")
        hub_with_crds.kubectl("delete", "--ignore-not-found", "-f", "-", input=items)


BAD: dict[str, tuple[Document, str]] = {
    "uri": (
        a_governed_deployment(spec__model__uri="https://models.example.com.evil.net/x"),
        "must begin with one of https://models.example.com/, s3://models/",
    ),
    "signature": (without(a_governed_deployment(), "spec.model.signature"), "must be set"),
    "margin": (
        a_governed_deployment(
            spec__rollout__analysis__metrics=[{"name": "f1", "type": "F1", "margin": "0.021"}]
        ),
        "the margin of f1 must be at most 0.02, not 0.021",
    ),
    "confidence": (
        a_governed_deployment(spec__rollout__analysis__confidence="0.9"),
        "must be at least 0.95, not 0.9",
    ),
    "author": (
        a_governed_deployment("bob"),
        'must be who changes spec.model or spec.serving: "alice"',
    ),
}


def refused_by(hub: Cluster) -> list[str]:
    """The API server takes each policy up a moment later."""
    found = []
    for name, (document, says) in BAD.items():
        try:
            create(hub, document, "alice")
        except ApiError as error:
            if says in str(error):
                found.append(name)
    return found


def change(hub: Cluster, user: str, **changes: object) -> None:
    patch(hub, a_governed_deployment(), changes, user)


def named(document: Document, name: str = "other") -> Document:
    return {**document, "metadata": {**document["metadata"], "name": name}}


@pytest.mark.parametrize("bad", BAD)
def test_is_refused(hub: Cluster, bad: str) -> None:
    document, says = BAD[bad]
    with pytest.raises(ApiError) as refusal:
        create(hub, named(document), "alice")
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    "document",
    [
        a_governed_deployment(),
        a_governed_deployment(spec__model__uri="s3://models/team/fraud..7.skops"),
        a_governed_deployment(
            spec__rollout__analysis__metrics=[
                {"name": "auc", "type": "ROCAUC", "margin": "0.05"},
                {"name": "f1", "type": "F1", "margin": "0.3", "mode": "DryRun"},
            ]
        ),
        a_governed_deployment(spec__rollout__analysis__confidence="0.99"),
    ],
    ids=["as-it-is", "dots-in-a-name", "other-type-and-dry-run", "more-confidence"],
)
def test_is_allowed(hub: Cluster, document: Document) -> None:
    create(hub, named(document), "alice")


@pytest.mark.parametrize("way", ["..", ".", "%2e%2E", "a/../b", "x%2F..%2fy"])
def test_no_way_leads_out_of_what_is_allowed(hub: Cluster, way: str) -> None:
    uri = f"https://models.example.com/team/{way}/fraud.skops"
    with pytest.raises(ApiError, match=r"must not hold the segments"):
        create(hub, named(a_governed_deployment(spec__model__uri=uri)), "alice")


def test_other_namespaces_are_not_governed(hub: Cluster) -> None:
    create(hub, with_(a_deployment(), "metadata.namespace", "kube-public"))


def test_what_is_there_goes_on_when_the_spec_stays(hub: Cluster) -> None:
    """As the operator writes its finalizer to one that was made before the policies."""
    change(hub, "", metadata={"finalizers": ["assay.dev/cleanup"]})


def test_who_changes_what_is_served_signs_for_it(hub: Cluster) -> None:
    model = {"model": {"version": "8"}}
    with pytest.raises(ApiError, match=r'must be who changes .*"bob"'):
        change(hub, "bob", spec=model)
    change(hub, "bob", spec=model, metadata={"annotations": {AUTHOR: "bob"}})
    change(hub, "bob", spec={"paused": "Promotion"})


@pytest.mark.parametrize("author", ["bob", "carol", None])
def test_authorship_is_not_moved(hub: Cluster, author: str | None) -> None:
    with pytest.raises(ApiError, match=r"changes only with spec\.model or"):
        change(hub, "bob", metadata={"annotations": {AUTHOR: author}})


def test_a_gitops_tool_writes_in_the_name_of_others(hub: Cluster) -> None:
    model = {"model": {"version": "8"}}
    change(hub, WRITER, spec=model, metadata={"annotations": {AUTHOR: "carol@example.com"}})
    with pytest.raises(ApiError, match="must be who changes"):
        change(hub, WRITER, spec=model, metadata={"annotations": {AUTHOR: None}})


def asks(user: str, verb: str) -> Document:
    return {"annotations": {"assay.dev/request": request(user, verb)}}


@pytest.mark.parametrize("verb", ["approve", "promote"])
def test_who_wrote_a_version_lets_it_not_through(hub: Cluster, verb: str) -> None:
    with pytest.raises(ApiError, match=r"wrote this version .* somebody else has to"):
        change(hub, "alice", metadata=asks("alice", verb))
    change(hub, "bob", metadata=asks("bob", verb))
    with pytest.raises(ApiError, match="in the name of others"):
        change(hub, WRITER, metadata=asks(WRITER, verb))


def test_who_wrote_a_version_may_stop_it(hub: Cluster) -> None:
    change(hub, "alice", metadata=asks("alice", "abort"))


def test_what_was_written_before_has_an_author_only_by_name(hub: Cluster) -> None:
    """An object from before the policy: nobody approves it until somebody has signed for it."""
    unsigned = {"metadata": {"annotations": {AUTHOR: None}}}
    patch(hub, a_governed_deployment(), unsigned, WRITER, keep=True)
    with pytest.raises(ApiError, match="nobody is known to have written this version"):
        change(hub, "bob", metadata=asks("bob", "approve"))
    with pytest.raises(ApiError, match="changes only with"):
        change(hub, "bob", metadata={"annotations": {AUTHOR: "alice"}})
    change(hub, "bob", metadata={"annotations": {AUTHOR: "bob"}})
