"""What a real API server says to valid and invalid manifests, word for word."""

import copy
import json
from collections.abc import Callable

import pytest

from fleet import Cluster
from fleet.processes import CommandError
from tests.cluster.admission import Document, apply

pytestmark = pytest.mark.cluster

DIGEST = "sha256:" + "a" * 64


def a_deployment() -> Document:
    """The smallest manifest that is complete."""
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "fraud", "namespace": "default"},
        "spec": {
            "model": {
                "uri": "https://models.example.com/fraud-7.skops",
                "version": "7",
                "digest": DIGEST,
            },
            "traffic": {"parentRefs": [{"name": "models"}]},
        },
    }


def a_cluster() -> Document:
    """A member behind a kubeconfig."""
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "ModelCluster",
        "metadata": {"name": "east"},
        "spec": {
            "clusterSource": {"kubeConfig": {"secretName": "east"}},
            "prometheus": {"service": "monitoring/prometheus:9090"},
        },
    }


def with_(document: Document, path: str, value: object) -> Document:
    """A copy of `document` in which the field at `path` (dots between names) is `value`."""
    result = copy.deepcopy(document)
    node = result
    *parents, last = path.split(".")
    for name in parents:
        node = node.setdefault(name, {})
    node[last] = value
    return result


def without(document: Document, path: str) -> Document:
    """A copy of `document` that lacks the field at `path`."""
    result = copy.deepcopy(document)
    node = result
    *parents, last = path.split(".")
    for name in parents:
        node = node[name]
    del node[last]
    return result


def deployment(path: str, value: object) -> Callable[[], Document]:
    return lambda: with_(a_deployment(), f"spec.{path}", value)


def metric(**fields: str) -> Callable[[], Document]:
    one = {"name": "f1", "type": "F1", "margin": "0.02", **fields}
    return deployment("rollout.analysis.metrics", [one])


VALID = {
    "the smallest deployment": a_deployment,
    "a threshold and a positive label": deployment(
        "model.decision", {"positiveLabel": "1", "threshold": "0.37"}
    ),
    "one step": deployment("rollout.canary.steps", [{"weight": 50}]),
    "steps of equal weight": deployment("rollout.canary.steps", [{"weight": 20}, {"weight": 20}]),
    "a floor": metric(floor="0.80"),
    "a strict rule": deployment("rollout.analysis.rollbackOn", "WorseThanMargin"),
    "a member by kubeconfig": a_cluster,
    "a member in this cluster": lambda: with_(a_cluster(), "spec.clusterSource", {"inCluster": {}}),
}

INVALID = {
    "no digest": (
        lambda: without(a_deployment(), "spec.model.digest"),
        "spec.model.digest: Required value",
    ),
    "a digest that is none": (
        deployment("model.digest", "sha256:abc"),
        'spec.model.digest: Invalid value: "sha256:abc": spec.model.digest in body should match '
        "'^sha256:[0-9a-f]{64}$'",
    ),
    "a bucket without a scheme": (
        deployment("model.uri", "models/fraud.skops"),
        'spec.model.uri: Invalid value: "models/fraud.skops": spec.model.uri in body should match '
        "'^(https?|file)://.+$'",
    ),
    "a pickle": (
        deployment("model.format", "Joblib"),
        'spec.model.format: Unsupported value: "Joblib": supported values: "Skops"',
    ),
    "a threshold above one": (
        deployment("model.decision", {"threshold": "1.5"}),
        'spec.model.decision.threshold: Invalid value: "1.5": spec.model.decision.threshold in body '
        r"should match '^(0(\.[0-9]{1,9})?|1(\.0{1,9})?)$'",
    ),
    "a threshold that is a number": (
        deployment("model.decision", {"threshold": 0.37}),
        'spec.model.decision.threshold: Invalid value: "number": spec.model.decision.threshold in '
        'body must be of type string: "number"',
    ),
    "no gateway": (
        deployment("traffic.parentRefs", []),
        "spec.traffic.parentRefs: Invalid value: 0: spec.traffic.parentRefs in body should have at "
        "least 1 items",
    ),
    "no traffic at all": (
        lambda: without(a_deployment(), "spec.traffic"),
        "spec.traffic: Required value",
    ),
    "no replicas": (
        deployment("serving.replicas", 0),
        "spec.serving.replicas: Invalid value: 0: spec.serving.replicas in body should be greater "
        "than or equal to 1",
    ),
    "steps that go down": (
        deployment("rollout.canary.steps", [{"weight": 20}, {"weight": 5}]),
        "spec.rollout.canary.steps: Invalid value: the weights of the steps must not decrease",
    ),
    "a step of a hundred percent": (
        deployment("rollout.canary.steps", [{"weight": 100}]),
        "spec.rollout.canary.steps[0].weight: Invalid value: 100: spec.rollout.canary.steps[0]."
        "weight in body should be less than or equal to 99",
    ),
    "no steps": (
        deployment("rollout.canary.steps", []),
        "spec.rollout.canary.steps: Invalid value: 0: spec.rollout.canary.steps in body should "
        "have at least 1 items",
    ),
    "a margin of zero": (
        metric(margin="0"),
        'spec.rollout.analysis.metrics[0].margin: Invalid value: "0": margin must lie '
        "between 0 and 1, both excluded",
    ),
    "a metric nobody knows": (
        metric(type="Elegance"),
        'spec.rollout.analysis.metrics[0].type: Unsupported value: "Elegance": supported values: '
        '"F1", "ROCAUC"',
    ),
    "two metrics of one name": (
        deployment(
            "rollout.analysis.metrics",
            [
                {"name": "f1", "type": "F1", "margin": "0.02"},
                {"name": "f1", "type": "ROCAUC", "margin": "0.02"},
            ],
        ),
        'spec.rollout.analysis.metrics[1]: Duplicate value: {"name":"f1"}',
    ),
    "too much confidence": (
        deployment("rollout.analysis.confidence", "1"),
        'spec.rollout.analysis.confidence: Invalid value: "1": confidence must lie '
        "between 0.5 and 0.9999",
    ),
    "a name too long for the pods made from it": (
        lambda: with_(a_deployment(), "metadata.name", "x" * 41),
        "metadata.name must have at most 40 characters: names of pods and Services are made from it",
    ),
    "a member from nowhere": (
        lambda: with_(a_cluster(), "spec.clusterSource", {}),
        "spec.clusterSource: Invalid value: exactly one of inCluster and kubeConfig must be set",
    ),
    "a member from two places": (
        lambda: with_(a_cluster(), "spec.clusterSource.inCluster", {}),
        "spec.clusterSource: Invalid value: exactly one of inCluster and kubeConfig must be set",
    ),
    "two addresses of Prometheus": (
        lambda: with_(a_cluster(), "spec.prometheus.url", "http://prometheus:9090"),
        "spec.prometheus: Invalid value: exactly one of service and url must be set",
    ),
    "a Prometheus Service without a port": (
        lambda: with_(a_cluster(), "spec.prometheus", {"service": "monitoring/prometheus"}),
        'spec.prometheus.service: Invalid value: "monitoring/prometheus": spec.prometheus.service '
        "in body should match '^[a-z0-9][-a-z0-9]*/[a-z0-9][-a-z0-9]*:[0-9]+$'",
    ),
}


@pytest.mark.parametrize("build", VALID.values(), ids=VALID.keys())
def test_is_admitted(hub_with_crds: Cluster, build: Callable[[], Document]) -> None:
    document = build()

    assert apply(hub_with_crds, document)["metadata"]["name"] == document["metadata"]["name"]


@pytest.mark.parametrize(("build", "message"), INVALID.values(), ids=INVALID.keys())
def test_is_refused(hub_with_crds: Cluster, build: Callable[[], Document], message: str) -> None:
    with pytest.raises(CommandError) as refusal:
        apply(hub_with_crds, build())

    assert message in str(refusal.value)


def test_unknown_fields_are_named(hub_with_crds: Cluster) -> None:
    with pytest.raises(CommandError, match=r'unknown field "spec\.rollout\.waves"'):
        apply(hub_with_crds, with_(a_deployment(), "spec.rollout.waves", []))


def test_defaults_are_filled_in(hub_with_crds: Cluster) -> None:
    spec = apply(hub_with_crds, a_deployment())["spec"]

    assert spec["serving"] == {
        "replicas": 1,
        "resources": {
            "limits": {"memory": "512Mi"},
            "requests": {"cpu": "100m", "memory": "192Mi"},
        },
    }
    assert [step["weight"] for step in spec["rollout"]["canary"]["steps"]] == [5, 20, 50]
    analysis = spec["rollout"]["analysis"]
    assert (analysis["confidence"], analysis["rollbackOn"]) == ("0.95", "Worse")
    assert [one["name"] for one in analysis["metrics"]] == ["f1", "auc"]


def test_status_is_a_subresource(hub_with_crds: Cluster) -> None:
    document = with_(a_deployment(), "status", {"observedGeneration": 7})

    assert "status" not in apply(hub_with_crds, document)


def test_the_ledgers_storage_cannot_be_changed(hub_with_crds: Cluster) -> None:
    document = with_(
        a_deployment(), "spec.placement.clusterSelector.matchLabels", {"tier": "no-such-tier"}
    )
    hub_with_crds.kubectl("apply", "-f", "-", input=json.dumps(document))
    try:
        with pytest.raises(CommandError) as refusal:
            apply(hub_with_crds, with_(document, "spec.feedback.storage.size", "2Gi"))
    finally:
        hub_with_crds.kubectl("delete", "mdep", "fraud", "-n", "default")

    assert "spec.feedback.storage: Invalid value: " in str(refusal.value)
    assert "storage cannot be changed" in str(refusal.value)
