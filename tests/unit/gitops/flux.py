"""Flux's side: our healthCheckExprs, evaluated by the CEL of its authors in the order that Flux has."""

import pathlib
from typing import Any

import yaml
from cel_expr_python import cel

ROOT = pathlib.Path(__file__).parents[3]
CHECKS = ROOT / "gitops/flux/health-checks.yaml"
_FIELDS = ("apiVersion", "kind", "metadata", "spec", "status")


def compute(document: dict[str, Any]) -> str:
    """Return Terminating, InProgress, Failed or Current, as RFC-0009 of Flux orders it."""
    metadata, status = document["metadata"], document.get("status", {})
    if status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress"
    checks = yaml.safe_load(CHECKS.read_text())["spec"]["healthCheckExprs"]
    mine = next(item for item in checks if item["kind"] == document["kind"])
    for field, said in (("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current")):
        if field in mine and _holds(mine[field], document):
            return said
    return "InProgress"


def _holds(expression: str, document: dict[str, Any]) -> bool:
    environment = cel.NewEnv(variables=dict.fromkeys(_FIELDS, cel.Type.DYN))
    answer = environment.compile(expression).eval(data=document).value()
    assert isinstance(answer, bool), f"{expression}: {answer}"
    return answer
