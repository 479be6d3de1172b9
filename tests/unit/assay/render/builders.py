"""One deployment as render sees it."""

from typing import Any

from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.model_deployment import ModelDeploymentSpec
from assay.render.member import MemberPlan, MemberTarget, Target, plan
from assay.render.revision import pod_template, revision_hash

SEVEN, EIGHT, NINE = "7" * 10, "8" * 10, "9" * 10
IMAGE = "example.com/assay-server:1"
KEYS = '{"active":"k1","keys":{"k1":"c2VjcmV0"},"salt":"c2FsdA=="}'
ORIGIN = "6f1c9a52-0000-4000-8000-000000000001"


def a_document() -> dict[str, Any]:
    """A spec as a user writes it, everything optional left out."""
    return {
        "model": {
            "uri": "https://models.example.com/fraud-7.skops",
            "version": "7",
            "digest": "sha256:" + "7" * 64,
        },
        "traffic": {"parentRefs": [{"name": "models"}]},
    }


def a_spec(**changes: Any) -> ModelDeploymentSpec:
    """A spec with changes, ``model__uri="..."`` for spec.model.uri."""
    document = a_document()
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = document
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value
    return ModelDeploymentSpec.model_validate(document)


def a_hash(**changes: Any) -> str:
    return revision_hash(a_spec(**changes))


def ref(revision: str) -> dict[str, str]:
    return {
        "revision": revision,
        "version": revision[0],
        "digest": "sha256:" + revision[0] * 64,
    }


def rollout(stage: str, step: int = 0) -> dict[str, Any]:
    return {
        "id": "0123456789",
        "stage": stage,
        "step": step,
        "startedAt": "2026-11-23T12:00:00Z",
        "settings": {},
        "steps": [
            {"weight": weight, "startedAt": "2026-11-23T12:00:00Z"}
            for weight in (5, 20, 50)[: step + 1]
        ],
    }


def a_status(**fields: Any) -> ModelDeploymentStatus:
    """Version 7 is stable in the member east, unless fields say otherwise."""
    document = {
        "observedGeneration": 3,
        "stable": ref(SEVEN),
        "clusters": [{"name": "east", "reachable": True, "revision": SEVEN}],
        **fields,
    }
    return ModelDeploymentStatus.model_validate(document)


def on_trial(step: int = 1, weight: int = 20) -> ModelDeploymentStatus:
    """Version 8 is on trial at `step`."""
    east = {"name": "east", "reachable": True, "revision": SEVEN, "weight": weight, "wave": 0}
    return a_status(canary=ref(EIGHT), rollout=rollout("Trial", step), clusters=[east])


def a_target(
    status: ModelDeploymentStatus,
    spec: ModelDeploymentSpec | None = None,
    known: tuple[str, ...] = (SEVEN, EIGHT),
    keys: str = KEYS,
) -> Target:
    spec = spec or a_spec()
    templates = {
        revision: pod_template("fraud", "ml", a_spec(model__version=revision[0]), revision, IMAGE)
        for revision in known
    }
    return Target(
        name="fraud",
        namespace="ml",
        uid="c0ffee00-0000-4000-8000-000000000002",
        origin=ORIGIN,
        spec=spec,
        status=status,
        templates=templates,
        keys=keys,
        feedback_urls={"east": "http://feedback.east.example.com", "west": None},
        image=IMAGE,
    )


def a_plan(status: ModelDeploymentStatus, **target: Any) -> MemberPlan:
    return plan(a_target(status, **target), MemberTarget("east", 2))
