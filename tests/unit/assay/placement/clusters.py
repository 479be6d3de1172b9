"""ModelClusters and specs that the tests of placement are about."""

from typing import Any

from assay.api.model_cluster import ModelClusterSpec
from assay.api.model_deployment import ModelDeploymentSpec
from assay.placement import Candidate


def a_cluster(name: str, labels: dict[str, str] | None = None, **spec: Any) -> Candidate:
    """A ModelCluster; `spec` as in a manifest."""
    document = {
        "clusterSource": {"inCluster": {}},
        "prometheus": {"url": "http://prometheus"},
        **spec,
    }
    return Candidate(name, labels or {}, ModelClusterSpec.model_validate(document))


def a_spec(replicas: int = 4, **placement: Any) -> ModelDeploymentSpec:
    """The smallest spec with so many replicas; `placement` as in a manifest."""
    return ModelDeploymentSpec.model_validate(
        {
            "model": {
                "uri": "https://models.example.com/7",
                "version": "7",
                "digest": "sha256:" + "7" * 64,
            },
            "serving": {"replicas": replicas},
            "traffic": {"parentRefs": [{"name": "models"}]},
            "placement": placement,
        }
    )
