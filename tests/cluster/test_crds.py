"""What a real API server says to valid and invalid manifests, word for word."""

import copy
import json
from collections.abc import Callable

import pytest

from fleet import Cluster
from fleet.kubeapi import ApiError
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


def scaled(**fields: object) -> Callable[[], Document]:
    return deployment("serving.autoscaling", fields)


def model(**fields: object) -> Callable[[], Document]:
    return deployment("model", {**a_deployment()["spec"]["model"], **fields})


def signature(**fields: object) -> Callable[[], Document]:
    return deployment("model.signature", {"publicKeySecretName": "signers", **fields})


def metric(**fields: object) -> Callable[[], Document]:
    one = {"name": "f1", "type": "F1", "margin": "0.02", **fields}
    return deployment("rollout.analysis.metrics", [one])


def cost(margin: str = "0.5", **costs: object) -> Callable[[], Document]:
    return metric(name="cost", type="Cost", margin=margin, costs=costs)


def guard(**fields: object) -> Callable[[], Document]:
    one = {"name": "p99", "query": "up", "max": "0.2", **fields}
    one = {key: value for key, value in one.items() if value is not None}
    return deployment("rollout.analysis.guards", [one])


def entry(label: str, predicted: str, amount: str) -> Document:
    return {"label": label, "predicted": predicted, "cost": amount}


def placement(**fields: object) -> Callable[[], Document]:
    return deployment("placement", fields)


def spread(**fields: object) -> Callable[[], Document]:
    return placement(spreadConstraints=[{"spreadByField": "Provider", **fields}])


def cluster(path: str, value: object) -> Callable[[], Document]:
    return lambda: with_(a_cluster(), f"spec.{path}", value)


def by_guards(**rollout: object) -> Callable[[], Document]:
    """A rollout without metrics and with one guard."""
    guards = [{"name": "p99", "query": "up", "max": "0.2"}]
    return deployment("rollout", {"analysis": {"metrics": [], "guards": guards}, **rollout})


def without_gateway(path: str = "", value: object = None) -> Callable[[], Document]:
    """The smallest manifest for clusters without a gateway, and one more field."""
    document = with_(a_deployment(), "spec.traffic", {"mode": "Replicas"})
    return lambda: with_(document, f"spec.{path}", value) if path else document


def blue_green(**settings: object) -> Callable[[], Document]:
    return by_guards(type="BlueGreen", blueGreen=settings)


GUARDS = "spec.rollout.analysis.guards[0]"
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
    "no gateway": without_gateway(),
    "no gateway and a switch": without_gateway(
        "rollout",
        {
            "type": "BlueGreen",
            "analysis": {"metrics": [], "guards": [{"name": "up", "query": "up", "max": "1"}]},
        },
    ),
    "no gateway and half of the traffic": without_gateway(
        "rollout.canary.steps", [{"weight": 50}, {"pause": "Manual"}]
    ),
    "one step": deployment("rollout.canary.steps", [{"weight": 50}]),
    "steps of equal weight": deployment("rollout.canary.steps", [{"weight": 20}, {"weight": 20}]),
    "a pause between steps": deployment(
        "rollout.canary.steps",
        [{"weight": 5}, {"weight": 20, "minSeconds": 600}, {"pause": "Manual"}, {"weight": 50}],
    ),
    "a pause as the last step": deployment(
        "rollout.canary.steps", [{"weight": 5}, {"pause": "Manual"}]
    ),
    "nothing goes forward": deployment("paused", "Promotion"),
    "nothing changes": deployment("paused", "All"),
    "a floor": metric(floor="0.80"),
    "waves": deployment(
        "rollout.waves",
        [
            {"name": "pilot", "clusterSelector": {"matchLabels": {"wave": "pilot"}}},
            {"name": "rest", "maxConcurrency": 2, "soakSeconds": 60, "maxFailures": 1},
        ],
    ),
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
    "a metric that is only watched": deployment(
        "rollout.analysis.metrics",
        [
            {"name": "f1", "type": "F1", "margin": "0.02"},
            {"name": "auc", "type": "ROCAUC", "margin": "0.01", "mode": "DryRun"},
        ],
    ),
    "a guard": guard(forSeconds=30, minRequests=0),
    "guards only": by_guards(),
    "blue-green": by_guards(type="BlueGreen"),
    "blue-green with previews": blue_green(
        previewHostnames=["preview.example.com"], approval="Manual", scaleDownDelaySeconds=600
    ),
    "a lower limit below zero": guard(max=None, min="-0.5", mode="DryRun"),
    "every placeholder of a guard": guard(
        query="{{namespace}}{{deployment}}{{revision}}{{stableRevision}}{{rollout}}[{{window}}]"
    ),
    "as many guards as there can be": deployment(
        "rollout.analysis.guards",
        [{"name": f"g{number}", "query": "{{window}}" * 102, "max": "1"} for number in range(8)],
    ),
    "labels by the client's own id": deployment("feedback.joinBy", "RequestId"),
    "no label by an age means the negative class": deployment(
        "feedback", {"missingLabel": "Negative", "labelAgeSeconds": 3600}
    ),
    "labels through the gateway": deployment("feedback.exposure", "Gateway"),
    "labels in a database": deployment("feedback.databaseSecretName", "labels-db"),
    "residency in regions of a provider": placement(
        residency={"regions": ["eu-west-1", "eu-central-1"], "providers": ["aws"]}
    ),
    "a toleration of everything": placement(tolerations=[{"operator": "Exists"}]),
    "a toleration of one taint": placement(
        tolerations=[{"key": "example.com/gpu", "value": "a100", "effect": "NoSchedule"}]
    ),
    "a member that may be away for a minute": placement(tolerationSeconds=60),
    "spread over exactly two providers": spread(minGroups=2, maxGroups=2),
    "the cheapest members": placement(objective="Cheapest"),
    "a member with a number of its own": placement(
        overrides=[{"clusterName": "east", "replicas": 1}]
    ),
    "pods that follow the load": scaled(minReplicas=2, maxReplicas=10),
    "pods that follow the load, and how closely": scaled(
        minReplicas=3, maxReplicas=3, targetCPUUtilizationPercentage=60
    ),
    "pods that follow the load except in one member": lambda: with_(
        scaled(maxReplicas=10)(),
        "spec.placement",
        {"overrides": [{"clusterName": "east", "replicas": 0}]},
    ),
    "pods that follow the load where a limit alone says how much CPU": lambda: with_(
        scaled(maxReplicas=10)(),
        "spec.serving.resources",
        {"requests": {"memory": "1Gi"}, "limits": {"cpu": "1"}},
    ),
    "the cheapest of members for pods that follow the load": lambda: with_(
        scaled(maxReplicas=2)(),
        "spec.placement",
        {
            "objective": "Cheapest",
            "spreadConstraints": [{"spreadByField": "Provider", "minGroups": 2}],
        },
    ),
    "everything that can be different in a member": placement(
        spot="Use",
        overrides=[
            {
                "clusterName": "east",
                "replicas": 1,
                "image": "mirror.example.com/assay-server:1",
                "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}},
                "nodeSelector": {"kubernetes.io/arch": "arm64"},
                "spot": "Avoid",
            },
            {"clusterName": "west", "spot": "Use"},
        ],
    ),
    "a member with spot nodes": lambda: with_(
        a_cluster(),
        "spec",
        {
            **a_cluster()["spec"],
            "cost": {"perReplicaHour": "0.031", "spotPerReplicaHour": "0.009"},
            "spot": {
                "nodeSelector": {"cloud.google.com/gke-spot": "true"},
                "tolerations": [{"key": "cloud.google.com/gke-spot", "value": "true"}],
            },
        },
    ),
    "as many overrides as there can be": placement(
        overrides=[{"clusterName": f"member-{number}", "replicas": 0} for number in range(100)]
    ),
    "a member with everything that placement looks at": lambda: with_(
        a_cluster(),
        "spec",
        {
            **a_cluster()["spec"],
            "provider": "aws",
            "region": "eu-west-1",
            "zone": "a",
            "cost": {"perReplicaHour": "0.031"},
            "capacity": {"replicas": 40},
            "taints": [
                {"key": "maintenance", "effect": "NoSchedule"},
                {"key": "maintenance", "effect": "NoExecute", "value": "tonight"},
            ],
        },
    ),
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
    "no gateway and no other mode": (
        deployment("traffic", {}),
        "spec.traffic: Invalid value: traffic.parentRefs must name a Gateway; where there is none "
        "write traffic.mode: Replicas",
    ),
    "shares by pods behind a gateway": (
        without_gateway("traffic.parentRefs", [{"name": "models"}]),
        "traffic.parentRefs is for traffic.mode Gateway: with mode Replicas no gateway has a part "
        "in it, take parentRefs away",
    ),
    "shares by pods under a host name": (
        without_gateway("traffic.hostnames", ["models.example.com"]),
        "traffic.hostnames is for traffic.mode Gateway: with mode Replicas clients ask a Service, "
        "take hostnames away",
    ),
    "shares by pods for users": (
        without_gateway("traffic.stickyBy", {"header": "x-user-id"}),
        "traffic.stickyBy needs a gateway: a Service knows connections and no users; use "
        "traffic.mode Gateway or take stickyBy away",
    ),
    "shares by pods and labels through a gateway": (
        without_gateway("feedback.exposure", "Gateway"),
        "feedback.exposure Gateway needs traffic.mode Gateway: with mode Replicas labels come to "
        "the ledger's Service, write exposure: Internal",
    ),
    "shares by pods that follow the load": (
        without_gateway(
            "serving",
            {
                "autoscaling": {"minReplicas": 2, "maxReplicas": 4},
                "resources": {"requests": {"cpu": "1"}},
            },
        ),
        "serving.autoscaling does not go with traffic.mode Replicas: the numbers of pods make the "
        "shares, so they must stand still in a trial; write serving.replicas",
    ),
    "shares by pods of a full canary": (
        without_gateway("rollout.canary.scale", "Full"),
        "rollout.canary.scale Full does not go with traffic.mode Replicas: the canary's share is "
        "that of its pods, take scale away",
    ),
    "shares by pods above a half": (
        without_gateway("rollout.canary.steps", [{"weight": 51}]),
        "rollout.canary.steps[].weight is at most 50 with traffic.mode Replicas: for more the "
        "canary would need more pods than stable has",
    ),
    "shares by pods and preview hosts": (
        without_gateway(
            "rollout",
            {
                "type": "BlueGreen",
                "blueGreen": {"previewHostnames": ["preview.example.com"]},
                "analysis": {"metrics": [], "guards": [{"name": "up", "query": "up", "max": "1"}]},
            },
        ),
        "rollout.blueGreen.previewHostnames needs traffic.mode Gateway: a Service has no host "
        "names, take previewHostnames away",
    ),
    "shares by pods under the name of a ledger": (
        lambda: with_(without_gateway()(), "metadata.name", "fraud-ledger"),
        "metadata.name must not end in -ledger with traffic.mode Replicas: the Service of that "
        "name may be another ModelDeployment's ledger",
    ),
    "a third way of traffic": (
        deployment("traffic.mode", "Mesh"),
        'spec.traffic.mode: Unsupported value: "Mesh": supported values: "Gateway", "Replicas"',
    ),
    "no gateway": (
        deployment("traffic.parentRefs", []),
        "spec.traffic.parentRefs: Invalid value: 0: spec.traffic.parentRefs in body should have at "
        "least 1 items",
    ),
    "users by header and cookie": (
        deployment("traffic.stickyBy", {"header": "x-user-id", "cookie": "session"}),
        "spec.traffic.stickyBy: Invalid value: traffic.stickyBy needs either header or cookie, "
        "and not both",
    ),
    "users by nothing": (
        deployment("traffic.stickyBy", {}),
        "spec.traffic.stickyBy: Invalid value: traffic.stickyBy needs either header or cookie, "
        "and not both",
    ),
    "users by a header of the route": (
        deployment("traffic.stickyBy", {"header": "Assay-Stratum"}),
        "spec.traffic.stickyBy: Invalid value: traffic.stickyBy.header must not start with assay-: "
        "those headers are set by the route",
    ),
    "users by all cookies": (
        deployment("traffic.stickyBy", {"header": "Cookie"}),
        "spec.traffic.stickyBy: Invalid value: traffic.stickyBy.header must name a header that "
        "tells users apart; for a cookie use traffic.stickyBy.cookie",
    ),
    "users by what is no header": (
        deployment("traffic.stickyBy", {"header": "x user"}),
        'spec.traffic.stickyBy.header: Invalid value: "x user": spec.traffic.stickyBy.header in '
        "body should match '^[0-9A-Za-z!#$%&'*+.^_`|~-]+$'",
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
    "a wave of everybody before others": (
        deployment("rollout.waves", [{"name": "all"}, {"name": "rest"}]),
        "spec.rollout.waves: Invalid value: only the last wave may have no "
        "clusterSelector.matchLabels: it takes all members that are left",
    ),
    "two waves of one name": (
        deployment("rollout.waves", [{"name": "rest"}, {"name": "rest"}]),
        'spec.rollout.waves[1]: Duplicate value: {"name":"rest"}',
    ),
    "a step of a hundred percent": (
        deployment("rollout.canary.steps", [{"weight": 100}]),
        "spec.rollout.canary.steps[0].weight: Invalid value: 100: spec.rollout.canary.steps[0]."
        "weight in body should be less than or equal to 99",
    ),
    "steps that go down over a pause": (
        deployment("rollout.canary.steps", [{"weight": 20}, {"pause": "Manual"}, {"weight": 5}]),
        "spec.rollout.canary.steps: Invalid value: the weights of the steps must not decrease",
    ),
    "a pause of a weight": (
        deployment("rollout.canary.steps", [{"weight": 5}, {"pause": "Manual", "weight": 20}]),
        "spec.rollout.canary.steps[1]: Invalid value: give a step exactly one of weight and pause",
    ),
    "a step of nothing": (
        deployment("rollout.canary.steps", [{"weight": 5}, {"minSeconds": 60}]),
        "spec.rollout.canary.steps[1]: Invalid value: give a step exactly one of weight and pause",
    ),
    "a pause of some seconds": (
        deployment("rollout.canary.steps", [{"weight": 5}, {"pause": "Manual", "minSeconds": 60}]),
        "spec.rollout.canary.steps[1]: Invalid value: minSeconds is for a step with a weight",
    ),
    "a pause that nobody ends": (
        deployment("rollout.canary.steps", [{"weight": 5}, {"pause": "Forever"}]),
        'spec.rollout.canary.steps[1].pause: Unsupported value: "Forever": supported values: "Manual"',
    ),
    "a pause before everything": (
        deployment("rollout.canary.steps", [{"pause": "Manual"}, {"weight": 5}]),
        "the first step needs a weight; to wait before it, set spec.paused: Promotion",
    ),
    "half of a pause": (
        deployment("paused", "Rollback"),
        'spec.paused: Unsupported value: "Rollback": supported values: "None", "Promotion", "All"',
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
    "no metric that decides": (
        metric(mode="DryRun"),
        "spec.rollout.analysis.metrics: Invalid value: at least one metric must have mode Decide",
    ),
    "a mode that nobody knows": (
        metric(mode="Off"),
        f'{METRICS}.mode: Unsupported value: "Off": supported values: "Decide", "DryRun"',
    ),
    "a guard with two limits": (
        guard(min="0.1"),
        f"{GUARDS}: Invalid value: exactly one of max and min must be set",
    ),
    "a guard without a limit": (
        guard(max=None),
        f"{GUARDS}: Invalid value: exactly one of max and min must be set",
    ),
    "a guard's placeholder that nobody knows": (
        guard(query='up{pod="{{pod}}"}'),
        f'{GUARDS}.query: Invalid value: "up{{pod=\\"{{{{pod}}}}\\"}}": query knows the placeholders '
        "{{namespace}}, {{deployment}}, {{revision}}, {{stableRevision}}, {{rollout}}, {{window}} "
        "and no others",
    ),
    "a guard that asks nothing": (
        guard(query=""),
        f'{GUARDS}.query: Invalid value: "": {GUARDS}.query in body should be at least 1 chars long',
    ),
    "a guard's limit with a unit": (
        guard(max="200ms"),
        f'{GUARDS}.max: Invalid value: "200ms": {GUARDS}.max in body should match '
        "'^-?[0-9]{1,12}(\\.[0-9]{1,9})?$'",
    ),
    "a guard that waits for hours": (
        guard(forSeconds=3601),
        f"{GUARDS}.forSeconds: Invalid value: 3601: {GUARDS}.forSeconds in body should be less "
        "than or equal to 3600",
    ),
    "two guards of one name": (
        deployment(
            "rollout.analysis.guards",
            [{"name": "p99", "query": "up", "max": limit} for limit in ("1", "2")],
        ),
        'spec.rollout.analysis.guards[1]: Duplicate value: {"name":"p99"}',
    ),
    "neither metrics nor guards": (
        deployment("rollout.analysis", {"metrics": []}),
        "without metrics at least one guard with mode Decide is needed",
    ),
    "a guard that only watches and no metrics": (
        deployment(
            "rollout.analysis",
            {
                "metrics": [],
                "guards": [{"name": "p99", "query": "up", "max": "1", "mode": "DryRun"}],
            },
        ),
        "without metrics at least one guard with mode Decide is needed",
    ),
    "blue-green by metrics": (
        deployment("rollout.type", "BlueGreen"),
        "rollout.type BlueGreen decides by health and guards only: its two versions never take the "
        "same traffic at the same time",
    ),
    "blue-green settings of a canary": (
        by_guards(blueGreen={"scaleDownDelaySeconds": 60}),
        "rollout.blueGreen is for rollout.type BlueGreen",
    ),
    "a preview where the live version answers": (
        lambda: with_(
            blue_green(previewHostnames=["a.example.com", "b.example.com"])(),
            "spec.traffic.hostnames",
            ["b.example.com"],
        ),
        "rollout.blueGreen.previewHostnames must be others than traffic.hostnames",
    ),
    "a type that does not work yet": (
        by_guards(type="Shadow"),
        'spec.rollout.type: Unsupported value: "Shadow": supported values: "Canary", "BlueGreen"',
    ),
    "nine guards": (
        deployment(
            "rollout.analysis.guards",
            [{"name": f"g{number}", "query": "up", "max": "1"} for number in range(9)],
        ),
        "spec.rollout.analysis.guards: Too many: 9: must have at most 8 items",
    ),
    "two metrics of one name": (
        deployment(
            "rollout.analysis.metrics",
            [
                {"name": "f1", "type": "F1", "margin": "0.02"},
                {"name": "f1", "type": "ROCAUC", "margin": "0.02"},
            ],
        ),
        "two metrics have the same name",
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
    "residency of nothing": (
        placement(residency={}),
        "spec.placement.residency: Invalid value: placement.residency must name regions or providers",
    ),
    "a member that may be away for a moment only": (
        placement(tolerationSeconds=1),
        "spec.placement.tolerationSeconds: Invalid value: 1: spec.placement.tolerationSeconds in body "
        "should be greater than or equal to 10",
    ),
    "residency nowhere": (
        placement(residency={"regions": []}),
        "spec.placement.residency.regions: Invalid value: 0: spec.placement.residency.regions in "
        "body should have at least 1 items",
    ),
    "a toleration of nothing": (
        placement(tolerations=[{"value": "a100"}]),
        "a toleration without a key needs operator Exists",
    ),
    "a toleration of any value and one": (
        placement(tolerations=[{"key": "gpu", "operator": "Exists", "value": "a100"}]),
        "a toleration with operator Exists has no value",
    ),
    "a spread over racks": (
        placement(spreadConstraints=[{"spreadByField": "Rack"}]),
        'spec.placement.spreadConstraints[0].spreadByField: Unsupported value: "Rack": supported '
        'values: "Provider", "Region", "Zone", "Cluster"',
    ),
    "more groups than there may be": (
        spread(minGroups=3, maxGroups=2),
        "minGroups must not be larger than maxGroups",
    ),
    "two spreads by one field": (
        placement(spreadConstraints=[{"spreadByField": "Region"}, {"spreadByField": "Region"}]),
        'spec.placement.spreadConstraints[1]: Duplicate value: {"spreadByField":"Region"}',
    ),
    "an objective that nobody knows": (
        placement(objective="Greenest"),
        'spec.placement.objective: Unsupported value: "Greenest": supported values: "Spread", '
        '"Cheapest"',
    ),
    "fewer replicas than groups": (
        placement(
            objective="Cheapest",
            spreadConstraints=[{"spreadByField": "Provider", "minGroups": 2}],
        ),
        "placement.objective Cheapest needs at least as many serving.replicas (or "
        "autoscaling.maxReplicas) as minGroups of each spread constraint",
    ),
    "fewer pods at most than groups": (
        lambda: with_(
            scaled(maxReplicas=1)(),
            "spec.placement",
            {
                "objective": "Cheapest",
                "spreadConstraints": [{"spreadByField": "Provider", "minGroups": 2}],
            },
        ),
        "placement.objective Cheapest needs at least as many serving.replicas (or "
        "autoscaling.maxReplicas) as minGroups of each spread constraint",
    ),
    "more pods at least than at most": (
        scaled(minReplicas=3, maxReplicas=2),
        "serving.autoscaling.minReplicas must not be larger than maxReplicas",
    ),
    "no most of pods": (
        scaled(minReplicas=3),
        "spec.serving.autoscaling.maxReplicas: Required value",
    ),
    "pods idle at any load": (
        scaled(maxReplicas=2, targetCPUUtilizationPercentage=0),
        "spec.serving.autoscaling.targetCPUUtilizationPercentage: Invalid value: 0: "
        "spec.serving.autoscaling.targetCPUUtilizationPercentage in body should be greater than or "
        "equal to 1",
    ),
    "a fixed number of pods that follows the load": (
        deployment("serving", {"replicas": 4, "autoscaling": {"maxReplicas": 10}}),
        "serving.replicas is a fixed number and does not go with serving.autoscaling: take it away, "
        "and set autoscaling.minReplicas",
    ),
    "a load that cannot be measured": (
        deployment(
            "serving",
            {"autoscaling": {"maxReplicas": 10}, "resources": {"requests": {"memory": "1Gi"}}},
        ),
        "serving.autoscaling needs serving.resources.requests.cpu: the load is measured in percent "
        "of it",
    ),
    "a load that cannot be measured in one member": (
        lambda: with_(
            scaled(maxReplicas=10)(),
            "spec.placement",
            {"overrides": [{"clusterName": "east", "resources": {"requests": {"memory": "1Gi"}}}]},
        ),
        "placement.overrides[].resources.requests.cpu is needed with serving.autoscaling: the load "
        "is measured in percent of it",
    ),
    "a fixed number of pods in one member of those that follow the load": (
        lambda: with_(
            scaled(maxReplicas=10)(),
            "spec.placement",
            {"overrides": [{"clusterName": "east", "replicas": 1}]},
        ),
        "placement.overrides[].replicas does not go with serving.autoscaling: each member has its "
        "share of minReplicas and maxReplicas (replicas: 0 keeps a member out)",
    ),
    "overrides of more than there is": (
        placement(overrides=[{"clusterName": "east", "replicas": 2}]),
        "placement.overrides must not give more replicas than serving.replicas",
    ),
    "an override of nothing": (
        placement(overrides=[{"clusterName": "east"}]),
        "an override must say what is different: replicas, image, resources, nodeSelector or spot",
    ),
    "a price of spot nodes that are not named": (
        cluster("cost", {"perReplicaHour": "0.031", "spotPerReplicaHour": "0.009"}),
        "cost.spotPerReplicaHour needs spec.spot: which nodes they are",
    ),
    "spot nodes without labels": (
        cluster("spot", {"nodeSelector": {}}),
        "spec.spot.nodeSelector in body should have at least 1 properties",
    ),
    "two numbers of one member": (
        placement(
            overrides=[
                {"clusterName": "east", "replicas": 0},
                {"clusterName": "east", "replicas": 1},
            ]
        ),
        'spec.placement.overrides[1]: Duplicate value: {"clusterName":"east"}',
    ),
    "a price that is a number": (
        cluster("cost", {"perReplicaHour": 0.031}),
        'spec.cost.perReplicaHour: Invalid value: "number": spec.cost.perReplicaHour in body must be '
        'of type string: "number"',
    ),
    "a price below zero": (
        cluster("cost", {"perReplicaHour": "-1"}),
        'spec.cost.perReplicaHour: Invalid value: "-1": spec.cost.perReplicaHour in body should '
        r"match '^[0-9]{1,9}(\.[0-9]{1,9})?$'",
    ),
    "room for less than nothing": (
        cluster("capacity", {"replicas": -1}),
        "spec.capacity.replicas: Invalid value: -1: spec.capacity.replicas in body should be "
        "greater than or equal to 0",
    ),
    "a taint without an effect": (
        cluster("taints", [{"key": "maintenance"}]),
        "spec.taints[0].effect: Required value",
    ),
    "a taint that is only a wish": (
        cluster("taints", [{"key": "maintenance", "effect": "PreferNoSchedule"}]),
        'spec.taints[0].effect: Unsupported value: "PreferNoSchedule": supported values: '
        '"NoSchedule", "NoExecute"',
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
    with pytest.raises(ApiError) as refusal:
        apply(hub_with_crds, build())

    assert message in str(refusal.value)


def test_unknown_fields_are_named(hub_with_crds: Cluster) -> None:
    with pytest.raises(ApiError, match=r'unknown field "spec\.rollout\.shadow"'):
        apply(hub_with_crds, with_(a_deployment(), "spec.rollout.shadow", []))


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

    # What is there is the default of an object that nobody has looked at.
    assert apply(hub_with_crds, document)["status"]["observedGeneration"] == 0


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
        with pytest.raises(ApiError) as refusal:
            apply(hub_with_crds, with_(document, f"spec.feedback.{path}", value))
    finally:
        hub_with_crds.kubectl("delete", "mdep", "fraud", "-n", "default")

    assert says in str(refusal.value)


def test_metrics_that_an_apply_takes_away_do_not_become_the_default(
    hub_with_crds: Cluster,
) -> None:
    guard = {"name": "errors", "query": "up", "max": "1"}
    document = with_(
        a_deployment(), "spec.placement.clusterSelector.matchLabels", {"tier": "no-such-tier"}
    )
    hub_with_crds.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(document))
    analysis = {"metrics": [{"name": "f1", "type": "F1", "margin": "0.05"}], "guards": [guard]}
    try:
        for metrics in (analysis["metrics"], []):
            wanted = with_(document, "spec.rollout.analysis", {**analysis, "metrics": metrics})
            answer = hub_with_crds.kubectl(
                "apply", "--server-side", "-o", "json", "-f", "-", input=json.dumps(wanted)
            )
            kept = json.loads(answer)["spec"]["rollout"]["analysis"]["metrics"]
            assert [metric["name"] for metric in kept] == [metric["name"] for metric in metrics]
    finally:
        hub_with_crds.kubectl("delete", "mdep", "fraud", "-n", "default")


def test_an_object_that_nobody_has_looked_at_is_not_finished(hub_with_crds: Cluster) -> None:
    # No ModelCluster matches, so an operator that is there finds nothing to do.
    document = with_(a_deployment(), "spec.placement.clusterSelector.matchLabels", {"no": "one"})
    document["metadata"]["name"] = "not-looked-at"
    created = hub_with_crds.kubectl("create", "-o", "json", "-f", "-", input=json.dumps(document))
    try:
        found = json.loads(hub_with_crds.kubectl("get", "mdep", "not-looked-at", "-o", "json"))
    finally:
        hub_with_crds.kubectl("delete", "mdep", "not-looked-at")

    # kstatus takes an object without observedGeneration and conditions for current.
    assert json.loads(created)["metadata"]["generation"] == 1
    assert "observedGeneration" in found["status"]
