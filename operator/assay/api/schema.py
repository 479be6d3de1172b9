"""From the typed classes to the CustomResourceDefinitions in crds/.

A structural schema has no references, titles or null alternatives; this module turns pydantic's
JSON schema into one (Kubernetes docs: "Specifying a structural schema").
"""

from typing import Any

import pydantic

from . import GROUP, VERSION
from .deployment_status import ModelDeploymentStatus
from .model_cluster import ModelClusterSpec, ModelClusterStatus
from .model_deployment import ModelDeploymentSpec

# CEL rules speak of the whole object only at its root.
_NAME_RULE = {
    "rule": "size(self.metadata.name) <= 40",
    "message": "metadata.name must have at most 40 characters: names of pods and Services are made from it",
}
_LEDGER_RULE = {
    "rule": "self.spec.traffic.mode != 'Replicas' || !self.metadata.name.endsWith('-ledger')",
    "message": "metadata.name must not end in -ledger with traffic.mode Replicas: the Service of that name may be another ModelDeployment's ledger",
}

# Shown of an object at which the operator has not looked yet: without it kstatus, and so every GitOps
# tool, would take such an object for finished.
_NOT_LOOKED_AT = {"observedGeneration": 0}


def structural(model: type[pydantic.BaseModel]) -> dict[str, Any]:
    """Return the structural OpenAPI v3 schema of `model`, with references and nulls resolved."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})
    resolved: dict[str, Any] = _resolve(schema, definitions)
    return resolved


def _resolve(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_resolve(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    node = dict(node)
    if reference := node.pop("$ref", None):
        # A field's own description and rules win over those of its type.
        return _resolve({**definitions[reference.rsplit("/", 1)[1]], **node}, definitions)
    if options := node.pop("anyOf", None):
        [option] = [item for item in options if item != {"type": "null"}]
        return _resolve({**option, **node}, definitions)
    properties = node.pop("properties", None)
    default = node.pop("default", None)
    result = {key: _resolve(value, definitions) for key, value in node.items() if key != "title"}
    if default is not None:
        result["default"] = _without_nulls(default)
    if properties is not None:
        result["properties"] = {
            key: _resolve(value, definitions) for key, value in properties.items()
        }
    return result


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _definition(
    kind: str,
    plural: str,
    short: str,
    scope: str,
    spec: type[pydantic.BaseModel],
    status: type[pydantic.BaseModel],
    columns: list[dict[str, Any]],
    *root_rules: dict[str, str],
) -> dict[str, Any]:
    description = (spec.__doc__ or "").splitlines()[0]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["ml"],
            },
            "scope": scope,
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": description,
                            "required": ["spec"],
                            "x-kubernetes-validations": [_NAME_RULE, *root_rules],
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                "spec": structural(spec),
                                "status": {**structural(status), "default": _NOT_LOOKED_AT},
                            },
                        }
                    },
                }
            ],
        },
    }


def _condition_column(name: str, type_: str, field: str, **extra: Any) -> dict[str, Any]:
    path = f".status.conditions[?(@.type=='{type_}')].{field}"
    return {"name": name, "type": "string", "jsonPath": path, **extra}


_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def definitions() -> dict[str, dict[str, Any]]:
    """Return the CustomResourceDefinitions by file name."""
    return {
        "modeldeployments.yaml": _definition(
            "ModelDeployment",
            "modeldeployments",
            "mdep",
            "Namespaced",
            ModelDeploymentSpec,
            ModelDeploymentStatus,
            [
                _condition_column("Ready", "Ready", "status"),
                {"name": "Stable", "type": "string", "jsonPath": ".status.stable.version"},
                {"name": "Canary", "type": "string", "jsonPath": ".status.canary.version"},
                {"name": "Stage", "type": "string", "jsonPath": ".status.rollout.stage"},
                {"name": "Weight", "type": "integer", "jsonPath": ".status.clusters[0].weight"},
                _condition_column("Reason", "Ready", "reason"),
                _AGE,
                {
                    "name": "Metrics",
                    "type": "string",
                    "jsonPath": ".status.analysis[*].canary",
                    "priority": 1,
                },
                _condition_column("Message", "Ready", "message", priority=1),
            ],
            _LEDGER_RULE,
        ),
        "modelclusters.yaml": _definition(
            "ModelCluster",
            "modelclusters",
            "mcl",
            "Cluster",
            ModelClusterSpec,
            ModelClusterStatus,
            [
                _condition_column("Reachable", "Reachable", "status"),
                {"name": "Provider", "type": "string", "jsonPath": ".spec.provider"},
                {"name": "Region", "type": "string", "jsonPath": ".spec.region"},
                {"name": "Version", "type": "string", "jsonPath": ".status.version"},
                _AGE,
                _condition_column("Message", "Reachable", "message", priority=1),
            ],
        ),
    }
