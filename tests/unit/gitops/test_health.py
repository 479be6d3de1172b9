"""The verdict of Argo CD, kstatus and Flux on every state, on status that the operator decided."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from assay.api.conditions import Reason
from tests.unit.assay.rollout.world import MONDAY, World, serving
from tests.unit.gitops import argocd, flux, kstatus, states
from tests.unit.gitops.agreement import disagreements

ROOT = pathlib.Path(__file__).parents[3]
PAGE = ROOT / "docs/gitops.md"
HEAD = "| State | `Ready` | Argo CD | kstatus | Flux with `healthCheckExprs` |"


@functools.cache
def shown(make: Callable[[], World]) -> dict[str, Any]:
    return states.shown(make())


def row(name: str, document: dict[str, Any]) -> str:
    """One line of the table in the page."""
    found = {item["type"]: item for item in document["status"].get("conditions", ())}
    ready = found.get("Ready")
    said = "" if ready is None else f"{ready['status']} `{ready['reason']}`"
    verdicts = (
        argocd.health(document)[0],
        kstatus.compute(document),
        "Terminating" if "deletionTimestamp" in document["metadata"] else flux.compute(document),
    )
    return f"| {' | '.join((name, said, *verdicts))} |"


def test_the_page_has_the_verdict_on_every_state() -> None:
    rows = [row(name, shown(make)) for name, make in states.STATES.items()]
    rows.append(row("is being deleted", states.deleting(shown(serving), MONDAY)))
    page = PAGE.read_text()

    assert HEAD in page
    table = page[page.index(HEAD) :].split("\n\n")[0].splitlines()[2:]
    assert table == rows, "docs/gitops.md must hold:\n" + "\n".join(rows)


@pytest.mark.parametrize("make", states.STATES.values(), ids=states.STATES.keys())
def test_the_verdicts_go_together(make: Callable[[], World]) -> None:
    document = shown(make)
    if document["status"]["observedGeneration"] == document["metadata"]["generation"]:
        assert disagreements(document) == []
    else:
        assert kstatus.compute(document) == flux.compute(document) == "InProgress"


def test_no_reason_that_ready_can_have_is_left_out() -> None:
    conditions = [shown(make)["status"].get("conditions", ()) for make in states.STATES.values()]
    seen = {item["reason"] for each in conditions for item in each if item["type"] == "Ready"}

    # Those of a placement are alike (`summary._PLACEMENT_REASONS`); CapacityExceeded stands for them.
    assert seen == {
        Reason.SERVING,
        Reason.STARTING,
        Reason.TRIAL_RUNNING,
        Reason.PROMOTING,
        Reason.ROLLING_BACK,
        Reason.ROLLED_BACK,
        Reason.INVALID_SPEC,
        Reason.ARTIFACT_REJECTED,
        Reason.PROGRESS_DEADLINE_EXCEEDED,
        Reason.NO_MEMBERS,
        Reason.CAPACITY_EXCEEDED,
        Reason.MEMBERS_UNREACHABLE,
        Reason.PAUSED_IN_SPEC,
        Reason.PAUSED_BY_HAND,
        Reason.WAITING_FOR_APPROVAL,
    }


def test_argo_cd_shows_the_operators_own_words() -> None:
    health, message = argocd.health(shown(states.rejected))

    assert health == "Degraded"
    assert "was rolled back" in message
    assert "f1 0.61 vs 0.82" in message


def cluster(status: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "ModelCluster",
        "metadata": {"name": "east", "generation": 2},
        "spec": {},
        "status": status,
    }


@pytest.mark.parametrize(
    ("generation", "conditions", "health", "expressed"),
    [
        (0, None, "Progressing", "InProgress"),
        (1, {"Reachable": "True", "Ready": "True"}, "Progressing", "InProgress"),
        (2, {"Reachable": "True", "Ready": "True"}, "Healthy", "Current"),
        (2, {"Reachable": "False", "Ready": "False"}, "Degraded", "InProgress"),
        (2, {"Reachable": "Unknown", "Ready": "Unknown"}, "Progressing", "InProgress"),
    ],
)
def test_a_member_is_healthy_when_it_can_be_reached(
    generation: int, conditions: dict[str, str] | None, health: str, expressed: str
) -> None:
    status: dict[str, Any] = {"observedGeneration": generation}
    if conditions is not None:
        status["conditions"] = [
            {"type": kind, "status": value, "message": ""} for kind, value in conditions.items()
        ]

    assert argocd.health(cluster(status))[0] == health
    assert flux.compute(cluster(status)) == kstatus.compute(cluster(status)) == expressed


def test_what_is_shipped_names_fields_that_flux_has() -> None:
    checks = yaml.safe_load(flux.CHECKS.read_text())["spec"]
    assert checks["wait"] is True
    for item in checks["healthCheckExprs"]:
        assert item.keys() <= {"apiVersion", "kind", "current", "failed", "inProgress"}


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_example_has_the_expressions_that_are_shipped(environment: str) -> None:
    path = ROOT / f"examples/gitops/flux/{environment}.yaml"
    _, kustomization = yaml.safe_load_all(path.read_text())

    assert kustomization["spec"].items() >= yaml.safe_load(flux.CHECKS.read_text())["spec"].items()
