"""A hub with one ModelDeployment of the small world, and what viewers may read beside it."""

from typing import Any

from ..rollout.world import World  # noqa: TID252

DEPLOYMENTS = "/apis/assay.dev/v1alpha1/namespaces/ml/modeldeployments"
CLUSTERS = "/apis/assay.dev/v1alpha1/modelclusters"
EVENTS = "/api/v1/namespaces/ml/events"
PODS = "/api/v1/namespaces/ml/pods"


class WorldHub:
    """Answers GET only, as somebody with the rights of a viewer sees it.

    `trouble` is the status of every answer if it is not 0; `looks` counts reads of the ModelDeployment.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.content_types: list[str | None] = []
        self.events: list[dict[str, Any]] = []
        self.pods: list[dict[str, Any]] = []
        self.labels: dict[str, dict[str, str]] = {}
        self.in_cluster = "east"
        self.trouble = 0
        self.looks = 0
        self.queries: list[str] = []

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        assert method == "GET", f"a viewer may not {method}"
        path, _, query = path.partition("?")
        self.queries.append(query)
        if self.trouble:
            return self.trouble, {"message": "the server is busy"}
        known = {
            DEPLOYMENTS: {"items": [self.document(), {"metadata": {"name": "churn"}}]},
            f"{DEPLOYMENTS}/fraud": self.document(),
            CLUSTERS: {"items": [self._cluster(name) for name in self.world.members]},
            EVENTS: {"items": self.events},
            PODS: {"items": self.pods},
        }
        self.looks += path == f"{DEPLOYMENTS}/fraud"
        return (200, known[path]) if path in known else (404, {"message": "not found"})

    def document(self) -> dict[str, Any]:
        return {
            "metadata": {"name": "fraud", "namespace": "ml", "generation": self.world.generation},
            "spec": self.world.spec.to_dict(),
            "status": self.world.document,
        }

    def _cluster(self, name: str) -> dict[str, Any]:
        source = (
            {"inCluster": {}}
            if name == self.in_cluster
            else {"kubeConfig": {"secretName": f"member-{name}"}}
        )
        spec = {"clusterSource": source, "prometheus": {"url": "http://prometheus"}}
        return {"metadata": {"name": name, "labels": self.labels.get(name, {})}, "spec": spec}
