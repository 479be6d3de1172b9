"""Where each kind of object lives in an API server."""

from typing import Any

PLURALS = {
    "BackendTrafficPolicy": "backendtrafficpolicies",
    "ClusterProfile": "clusterprofiles",
    "ConfigMap": "configmaps",
    "ControllerRevision": "controllerrevisions",
    "Deployment": "deployments",
    "HTTPRoute": "httproutes",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "Lease": "leases",
    "ModelCluster": "modelclusters",
    "ModelDeployment": "modeldeployments",
    "Pod": "pods",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Secret": "secrets",
    "Service": "services",
    "StatefulSet": "statefulsets",
}
"""Every kind that the operator touches; the chart's RBAC lists the same."""

API_VERSIONS = {
    "BackendTrafficPolicy": "gateway.envoyproxy.io/v1alpha1",
    "ClusterProfile": "multicluster.x-k8s.io/v1alpha1",
    "ConfigMap": "v1",
    "ControllerRevision": "apps/v1",
    "Deployment": "apps/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "Lease": "coordination.k8s.io/v1",
    "ModelCluster": "assay.dev/v1alpha1",
    "ModelDeployment": "assay.dev/v1alpha1",
    "Pod": "v1",
    "PodDisruptionBudget": "policy/v1",
    "Secret": "v1",
    "Service": "v1",
    "StatefulSet": "apps/v1",
}

OWNED = (
    "HTTPRoute",
    "BackendTrafficPolicy",
    "HorizontalPodAutoscaler",
    "Deployment",
    "StatefulSet",
    "Service",
    "PodDisruptionBudget",
    "ConfigMap",
    "Secret",
)
"""Kinds that the operator leaves in a member, traffic first; ControllerRevisions come after them."""

WATCHED = (
    "Deployment",
    "StatefulSet",
    "HTTPRoute",
    "BackendTrafficPolicy",
    "Service",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
)

WORKLOADS = ("Deployment", "StatefulSet")
"""Kinds that have pods."""

BY_METADATA = frozenset(
    {"Service", "PodDisruptionBudget", "ConfigMap", "Secret", "ControllerRevision"}
)
"""Kinds of which only metadata are looked at. Who owns which field is in them, so a field of ours that
somebody else has changed is seen without the object (`cache.live_digest`)."""

CHECKED = ("ConfigMap", "Secret", "ControllerRevision")
"""Kinds that are not watched but asked for now and then: a watch needs the right to list, and to list
Secrets is a right of its own."""

OPTIONAL = frozenset(
    {"HTTPRoute", "BackendTrafficPolicy", "PodDisruptionBudget", "HorizontalPodAutoscaler"}
)
"""Watched kinds that a member may do without; what it lacks is neither written nor removed there."""

DEPLOYMENT = "assay.dev/deployment"
REVISION = "assay.dev/revision"
ORIGIN = "assay.dev/origin"
MANAGED = "app.kubernetes.io/managed-by=assay"


def path(kind: str, namespace: str | None = None, name: str | None = None) -> str:
    """Return the URL path of an object, or of its collection without a `name`."""
    version = API_VERSIONS[kind]
    parts = ["/api" if "/" not in version else "/apis", version]
    if namespace:
        parts += ["namespaces", namespace]
    parts.append(PLURALS[kind])
    if name:
        parts.append(name)
    return "/".join(parts)


def path_of(document: dict[str, Any]) -> str:
    """Return the URL path of `document` by its kind, namespace and name."""
    metadata = document["metadata"]
    return path(document["kind"], metadata.get("namespace"), metadata["name"])
