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


def model(**fields: object) -> Callable[[], Document]:
    return deployment("model", {**a_deployment()["spec"]["model"], **fields})


def signature(**fields: object) -> Callable[[], Document]:
    return deployment("model.signature", {"publicKeySecretName": "signers", **fields})


def metric(**fields: object) -> Callable[[], Document]:
    one = {"name": "f1", "type": "F1", "margin": "0.02", **fields}
    return deployment("rollout.analysis.metrics", [one])


def cost(margin: str = "0.5", **costs: object) -> Callable[[], Document]:
    return metric(name="cost", type="Cost", margin=margin, costs=costs)


def entry(label: str, predicted: str, amount: str) -> Document:
    return {"label": label, "predicted": predicted, "cost": amount}


METRICS = "spec.rollout.analysis.metrics[0]"

VALID = {
    "the smallest deployment": a_deployment,
    "a threshold and a positive label": deployment(
        "model.decision", {"positiveLabel": "1", "threshold": "0.37"}
    ),
    "an ONNX file": deployment("model.format", "Onnx"),
    "a pickle that is allowed": model(format="Joblib", unsafe="Allow"),
    "decision scores": model(score="Decision", decision={"positiveLabel": "1"}),
    "credentials": model(uri="s3://models/fraud.skops", credentials={"secretName": "reader"}),
    "a signed artifact": signature(),
    "a signature elsewhere": signature(uri="pvc://signatures/fraud/7.sig"),
    **{
        f"an artifact at {uri}": deployment("model.uri", uri)
        for uri in (
            "http://models.example.com/a/fraud@7.skops",
            "gs://models/fraud.skops",
            "az://models/fraud.skops",
            "abfss://models@account.dfs.core.windows.net/fraud.skops",
            "pvc://models/fraud..7/model.skops",
            "file:///models/fraud.skops",
        )
    },
    "one step": deployment("rollout.canary.steps", [{"weight": 50}]),
    "steps of equal weight": deployment("rollout.canary.steps", [{"weight": 20}, {"weight": 20}]),
    "a floor": metric(floor="0.80"),
    "a strict rule": deployment("rollout.analysis.rollbackOn", "WorseThanMargin"),
    "promotion of what is better": deployment("rollout.analysis.promoteOn", "Better"),
    "all classes together": metric(average="Micro"),
    "one class of several": metric(**{"class": "7"}),
    "a ranking of each pair of classes": metric(
        type="ROCAUC", average="Macro", multiClass="OneVsOne"
    ),
    "recall that counts more": metric(type="FBeta", beta="2", average="Weighted"),
    "a ceiling above one": metric(type="LogLoss", floor="1.5"),
    "costs of two mistakes": cost("4.5", falsePositive="1", falseNegative="5"),
    "costs of one class's mistakes": metric(
        type="Cost", **{"class": "7"}, costs={"falsePositive": "0", "falseNegative": "0.5"}
    ),
    "a matrix of costs": cost("1.5", matrix=[entry("a", "b", "2"), entry("b", "a", "0.1")]),
    "as many metrics and costs as there can be": deployment(
        "rollout.analysis.metrics",
        [
            {
                "name": f"cost-{number}",
                "type": "Cost",
                "margin": "0.5",
                "costs": {"matrix": [entry(str(n // 16), str(n % 16), "1") for n in range(256)]},
            }
            for number in range(8)
        ],
    ),
    "labels by the client's own id": deployment("feedback.joinBy", "RequestId"),
    "no label by an age means the negative class": deployment(
        "feedback", {"missingLabel": "Negative", "labelAgeSeconds": 3600}
    ),
    "labels through the gateway": deployment("feedback.exposure", "Gateway"),
    "labels in a database": deployment("feedback.databaseSecretName", "labels-db"),
    "a member by kubeconfig": a_cluster,
    "a member that is a ClusterProfile": lambda: with_(
        a_cluster(),
        "spec.clusterSource",
        {"clusterProfileRef": {"namespace": "fleet", "name": "east"}},
    ),
    "a member that is asked slowly": lambda: with_(
        a_cluster(), "spec.limits", {"requestsPerSecond": 10, "burst": 10}
    ),
    "a member in this cluster": lambda: with_(a_cluster(), "spec.clusterSource", {"inCluster": {}}),
}

INVALID = {
    "no label means the negative class, but by when": (
        deployment("feedback.missingLabel", "Negative"),
        "feedback.missingLabel Negative needs labelAgeSeconds",
    ),
    "labels count after they are refused": (
        deployment("feedback", {"labelAgeSeconds": 7200, "labelWindowSeconds": 3600}),
        "feedback.labelAgeSeconds must not be larger than labelWindowSeconds",
    ),
    "another way to join": (
        deployment("feedback.joinBy", "Cookie"),
        'spec.feedback.joinBy: Unsupported value: "Cookie": supported values: "Receipt", "RequestId"',
    ),
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
        "'^(https?|s3|gs|az|abfss?|pvc|file)://.+$'",
    ),
    "a scheme that nobody fetches": (
        deployment("model.uri", "ftp://models.example.com/fraud.skops"),
        "spec.model.uri in body should match '^(https?|s3|gs|az|abfss?|pvc|file)://.+$'",
    ),
    "a password in the address": (
        deployment("model.uri", "https://me:secret@models.example.com/fraud.skops"),
        "model.uri must not hold a user or password: name a Secret in model.credentials",
    ),
    "a password in the address of the signature": (
        signature(uri="https://token@models.example.com/fraud.sig"),
        "model.signature.uri must not hold a user or password: name a Secret in model.credentials",
    ),
    "a claim without a path": (
        deployment("model.uri", "pvc://models/"),
        "model.uri of a volume must read pvc://CLAIM/PATH, without '..'",
    ),
    "a claim that is no name": (
        deployment("model.uri", "pvc://Models/fraud.skops"),
        "model.uri of a volume must read pvc://CLAIM/PATH, without '..'",
    ),
    "a way out of a claim": (
        deployment("model.uri", "pvc://models/../other/fraud.skops"),
        "model.uri of a volume must read pvc://CLAIM/PATH, without '..'",
    ),
    "a signature on a way out of a claim": (
        signature(uri="pvc://models/fraud/.."),
        "model.signature.uri of a volume must read pvc://CLAIM/PATH, without '..'",
    ),
    "a signature by nobody": (
        deployment("model.signature", {"uri": "https://models.example.com/fraud.sig"}),
        "spec.model.signature.publicKeySecretName: Required value",
    ),
    "credentials of no name": (
        deployment("model.credentials", {"secretName": "My Secret"}),
        'spec.model.credentials.secretName: Invalid value: "My Secret"',
    ),
    "a pickle": (
        deployment("model.format", "Joblib"),
        "model.format Joblib runs code from the artifact on load: it needs model.unsafe: Allow, and "
        "an operator that permits it",
    ),
    "a pickle that is refused": (
        model(format="Joblib", unsafe="Refuse"),
        "model.format Joblib runs code from the artifact on load: it needs model.unsafe: Allow",
    ),
    "a safe format that may run code": (
        model(format="Onnx", unsafe="Allow"),
        "model.unsafe: Allow is for model.format Joblib: no other format runs code",
    ),
    "a format that nobody loads": (
        deployment("model.format", "Pickle"),
        'spec.model.format: Unsupported value: "Pickle": supported values: "Skops", "Onnx", "Joblib"',
    ),
    "a threshold of something that is no probability": (
        model(score="Decision", decision={"threshold": "0.37"}),
        "model.decision.threshold is a probability and does not go with model.score Decision",
    ),
    "scores that mean something else": (
        deployment("model.score", "Distance"),
        'spec.model.score: Unsupported value: "Distance": supported values: "Probability", '
        '"Decision"',
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
        f'{METRICS}.margin: Invalid value: "0": margin must be above 0',
    ),
    "a metric nobody knows": (
        metric(type="Elegance"),
        f'{METRICS}.type: Unsupported value: "Elegance": supported values: "Accuracy", ',
    ),
    "a margin of one": (
        metric(margin="1"),
        f"{METRICS}: Invalid value: margin must be less than 1, or of a Cost less than its largest "
        "cost",
    ),
    "a margin that no costs differ by": (
        cost("5", falsePositive="1", falseNegative="5"),
        f"{METRICS}: Invalid value: margin must be less than 1, or of a Cost less than its largest "
        "cost",
    ),
    "a margin above every entry of the matrix": (
        cost("2", matrix=[entry("a", "b", "2")]),
        f"{METRICS}: Invalid value: margin must be less than 1, or of a Cost less than its largest "
        "cost",
    ),
    "a negative margin": (
        metric(margin="-0.1"),
        f'{METRICS}.margin: Invalid value: "-0.1": {METRICS}.margin in body should match '
        r"'^[0-9]{1,9}(\.[0-9]{1,9})?$'",
    ),
    "a floor of zero": (
        metric(floor="0"),
        f'{METRICS}.floor: Invalid value: "0": floor must be above 0',
    ),
    "a floor above one": (
        metric(floor="1.5"),
        f"{METRICS}: Invalid value: floor must be less than 1, except of LogLoss, Brier and Cost",
    ),
    "an average of accuracies": (
        metric(type="Accuracy", average="Macro"),
        f"{METRICS}: Invalid value: average is only for Precision, Recall, F1, FBeta, ROCAUC and "
        "AveragePrecision",
    ),
    "a ranking of all rows together": (
        metric(type="ROCAUC", average="Micro"),
        f"{METRICS}: Invalid value: average Micro is not known for ROCAUC and AveragePrecision",
    ),
    "one class and all of them": (
        metric(average="Macro", **{"class": "7"}),
        f"{METRICS}: Invalid value: class is for average Binary: the other averages are over all "
        "classes",
    ),
    "the accuracy of a class": (
        metric(type="Accuracy", **{"class": "7"}),
        f"{METRICS}: Invalid value: class is neither for Accuracy nor for a Cost by matrix: they are "
        "of all classes",
    ),
    "pairs of classes without an average": (
        metric(type="ROCAUC", multiClass="OneVsOne"),
        f"{METRICS}: Invalid value: multiClass is only for ROCAUC with average Macro or Weighted",
    ),
    "a beta of F1": (
        metric(beta="2"),
        f"{METRICS}: Invalid value: beta is only for FBeta",
    ),
    "a beta of zero": (
        metric(type="FBeta", beta="0"),
        f'{METRICS}.beta: Invalid value: "0": beta must lie between 0 and 100, both excluded',
    ),
    "a cost without costs": (
        metric(type="Cost"),
        f"{METRICS}: Invalid value: costs is needed for Cost, and only there",
    ),
    "costs of F1": (
        metric(costs={"falsePositive": "1", "falseNegative": "5"}),
        f"{METRICS}: Invalid value: costs is needed for Cost, and only there",
    ),
    "half of the costs": (
        cost(falsePositive="1"),
        f"{METRICS}.costs: Invalid value: give either matrix, or both falsePositive and "
        "falseNegative",
    ),
    "costs in both ways": (
        cost(falsePositive="1", falseNegative="5", matrix=[entry("a", "b", "1")]),
        f"{METRICS}.costs: Invalid value: give either matrix, or both falsePositive and "
        "falseNegative",
    ),
    "mistakes that cost nothing": (
        cost(falsePositive="0", falseNegative="0.0"),
        f"{METRICS}.costs: Invalid value: at least one cost must be above 0",
    ),
    "a mistake with two costs": (
        cost(matrix=[entry("a", "b", "1"), entry("a", "b", "2")]),
        f'{METRICS}.costs.matrix[1]: Duplicate value: {{"label":"a","predicted":"b"}}',
    ),
    "a promotion that nobody knows": (
        deployment("rollout.analysis.promoteOn", "Always"),
        'spec.rollout.analysis.promoteOn: Unsupported value: "Always": supported values: '
        '"NotWorse", "Better"',
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
        "spec.clusterSource: Invalid value: exactly one of inCluster, kubeConfig "
        "and clusterProfileRef must be set",
    ),
    "a member from two places": (
        lambda: with_(a_cluster(), "spec.clusterSource.inCluster", {}),
        "spec.clusterSource: Invalid value: exactly one of inCluster, kubeConfig "
        "and clusterProfileRef must be set",
    ),
    "a member from a kubeconfig and a ClusterProfile": (
        lambda: with_(
            a_cluster(),
            "spec.clusterSource.clusterProfileRef",
            {"namespace": "fleet", "name": "east"},
        ),
        "spec.clusterSource: Invalid value: exactly one of inCluster, kubeConfig "
        "and clusterProfileRef must be set",
    ),
    "a ClusterProfile without a namespace": (
        lambda: with_(a_cluster(), "spec.clusterSource", {"clusterProfileRef": {"name": "east"}}),
        "spec.clusterSource.clusterProfileRef.namespace: Required value",
    ),
    "a member that is hardly asked": (
        lambda: with_(a_cluster(), "spec.limits.requestsPerSecond", 9),
        "spec.limits.requestsPerSecond: Invalid value: 9: "
        "spec.limits.requestsPerSecond in body should be greater than or equal to 10",
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
    assert analysis["promoteOn"] == "NotWorse"
    assert [one["name"] for one in analysis["metrics"]] == ["f1", "auc"]


def test_status_is_a_subresource(hub_with_crds: Cluster) -> None:
    document = with_(a_deployment(), "status", {"observedGeneration": 7})

    assert "status" not in apply(hub_with_crds, document)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("storage.size", "2Gi", "spec.feedback.storage: Invalid value: "),
        ("storage.size", "2Gi", "storage cannot be changed"),
        ("databaseSecretName", "labels-db", "databaseSecretName cannot be added or taken away"),
    ],
)
def test_where_labels_are_kept_cannot_be_changed(
    hub_with_crds: Cluster, path: str, value: str, says: str
) -> None:
    document = with_(
        a_deployment(), "spec.placement.clusterSelector.matchLabels", {"tier": "no-such-tier"}
    )
    hub_with_crds.kubectl("apply", "-f", "-", input=json.dumps(document))
    try:
        with pytest.raises(CommandError) as refusal:
            apply(hub_with_crds, with_(document, f"spec.feedback.{path}", value))
    finally:
        hub_with_crds.kubectl("delete", "mdep", "fraud", "-n", "default")

    assert says in str(refusal.value)
