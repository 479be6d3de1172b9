"""``ModelDeployment.spec``: one model, where it serves, how a new version is tried.

Only fields that work are here; the schema grows additively (docs/decisions).
"""

import enum
from types import EllipsisType
from typing import Annotated, Any

import pydantic

from .fields import Digest, Fraction, Model, Name, ObjectName, Word


def int32(default: int | EllipsisType, description: str, *, ge: int, le: int) -> Any:
    """Return a bounded integer field; times carry their unit in the field's name."""
    return pydantic.Field(
        default, description=description, ge=ge, le=le, json_schema_extra={"format": "int32"}
    )


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Return the schema extension that carries CEL rules, given (expression, message) pairs."""
    return {
        "x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]
    }


class ModelFormat(enum.StrEnum):
    """How the artifact is stored. Pickle and joblib are not here: loading them runs their code."""

    SKOPS = "Skops"


class Decision(Model):
    """How scores become a predicted class. Part of the revision: a new threshold is a new trial."""

    positive_label: Word | None = pydantic.Field(
        None,
        description="The class whose score is compared with the threshold; the last one of the model's classes when left out.",
    )
    threshold: Fraction | None = pydantic.Field(
        None,
        description='Predict the positive class from this probability on, as a decimal string such as "0.37"; what the model itself decides when left out.',
    )


class ModelSource(Model):
    """Which artifact serves."""

    uri: str = pydantic.Field(
        description="Where the artifact is: https, http or file. The digest is checked, so the way it came does not matter.",
        max_length=1024,
        pattern=r"^(https?|file)://.+$",
    )
    version: Word = pydantic.Field(description="The version as people call it; free text.")
    digest: Digest = pydantic.Field(
        description="SHA-256 of the artifact; checked before it is loaded."
    )
    format: ModelFormat = pydantic.Field(
        ModelFormat.SKOPS, description="How the artifact is stored."
    )
    decision: Decision | None = pydantic.Field(
        None, description="How scores become a predicted class."
    )


Quantity = Annotated[
    str, pydantic.Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi)?$")
]


class ResourceAmounts(Model):
    """Amounts of CPU and memory in Kubernetes quantities."""

    cpu: Quantity | None = pydantic.Field(None, description='CPU, for instance "250m".')
    memory: Quantity | None = pydantic.Field(None, description='Memory, for instance "256Mi".')


class Resources(Model):
    """What one serving pod asks for and may use."""

    requests: ResourceAmounts = pydantic.Field(
        ResourceAmounts(cpu="100m", memory="192Mi"), description="What is reserved for each pod."
    )
    limits: ResourceAmounts = pydantic.Field(
        ResourceAmounts(memory="512Mi"), description="What each pod may use at most."
    )


class Serving(Model):
    """The pods that serve."""

    image: str | None = pydantic.Field(
        None,
        description="Image of the model server; the operator's own choice when left out.",
        max_length=512,
        min_length=1,
    )
    replicas: int = int32(
        1,
        "Pods per revision over all members, divided by placement; every member gets at least one.",
        ge=1,
        le=1000,
    )
    resources: Resources = pydantic.Field(Resources(), description="Resources of each pod.")


class ClusterSelector(Model):
    """Chooses ModelClusters by their labels."""

    match_labels: dict[str, Annotated[str, pydantic.Field(max_length=63)]] = pydantic.Field(
        default_factory=dict,
        description="All of these labels must be on the ModelCluster; none means every ModelCluster.",
        max_length=16,
    )


class Placement(Model):
    """Which members serve."""

    cluster_selector: ClusterSelector = pydantic.Field(
        ClusterSelector(), description="Which ModelClusters serve."
    )


class ParentRef(Model):
    """A Gateway in the members, in the namespace of the ModelDeployment unless named otherwise."""

    name: ObjectName = pydantic.Field(description="Name of the Gateway.")
    namespace: Name | None = pydantic.Field(None, description="Namespace of the Gateway.")
    section_name: ObjectName | None = pydantic.Field(None, description="Listener of the Gateway.")


class Traffic(Model):
    """How requests reach the pods."""

    parent_refs: tuple[ParentRef, ...] = pydantic.Field(
        description="Gateways that take the traffic, in every member.",
        min_length=1,
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    hostnames: tuple[Annotated[str, pydantic.Field(max_length=253)], ...] = pydantic.Field(
        (),
        description="Host names that the route answers to; every one of the Gateway's when empty.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class Storage(Model):
    """The volume of a member's ledger."""

    size: Quantity = pydantic.Field("1Gi", description="Size of the volume.")
    storage_class_name: ObjectName | None = pydantic.Field(
        None, description="StorageClass in the members; their default one when left out."
    )


class Feedback(Model):
    """How true labels come back."""

    label_window_seconds: int = int32(
        2592000, "A receipt may be labelled for this long.", ge=60, le=31536000
    )
    storage: Storage = pydantic.Field(
        Storage(),
        description="Where each member's ledger keeps the labels. Cannot be changed afterwards.",
        json_schema_extra=rules(
            ("self == oldSelf", "feedback.storage cannot be changed: the volumes are there already")
        ),
    )


class CanaryStep(Model):
    """One step of a canary: a share of the traffic, for at least some time."""

    weight: int = int32(..., "Percent of the requests that the canary gets.", ge=1, le=99)
    min_seconds: int = int32(0, "The step lasts at least this long.", ge=0, le=604800)


class Canary(Model):
    """The steps of a trial. The last one waits for the verdict."""

    steps: tuple[CanaryStep, ...] = pydantic.Field(
        (CanaryStep(weight=5), CanaryStep(weight=20), CanaryStep(weight=50)),
        description="Shares of the traffic in the order in which they are taken.",
        min_length=1,
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "atomic",
            **rules(
                (
                    "self.map(step, step.weight).isSorted()",
                    "the weights of the steps must not decrease",
                )
            ),
        },
    )


class RollbackOn(enum.StrEnum):
    """What counts as bad enough (statistics.md 0.4: zone and strict)."""

    WORSE = "Worse"
    WORSE_THAN_MARGIN = "WorseThanMargin"


class MetricType(enum.StrEnum):
    """A model-quality metric."""

    F1 = "F1"
    ROC_AUC = "ROCAUC"


class Average(enum.StrEnum):
    """How a metric of several classes becomes one number."""

    BINARY = "Binary"


class Metric(Model):
    """One metric that decides."""

    name: Name = pydantic.Field(description="The metric's name in status, events and dashboards.")
    type: MetricType = pydantic.Field(description="Which metric.")
    average: Average = pydantic.Field(Average.BINARY, description="Binary: of the positive class.")
    margin: Fraction = pydantic.Field(
        description='How much worse than stable the canary may be and still be promoted, for instance "0.02".',
        json_schema_extra=rules(
            (
                "double(self) > 0.0 && double(self) < 1.0",
                "margin must lie between 0 and 1, both excluded",
            )
        ),
    )
    floor: Fraction | None = pydantic.Field(
        None,
        description="Roll back when the canary is proven to be below this value while stable is not.",
    )


class Analysis(Model):
    """How the two versions are compared."""

    interval_seconds: int = int32(10, "Seconds between two looks at the evidence.", ge=1, le=3600)
    confidence: Fraction = pydantic.Field(
        "0.95",
        description="One minus the largest chance of a wrong verdict, over all looks together.",
        json_schema_extra=rules(
            (
                "double(self) >= 0.5 && double(self) <= 0.9999",
                "confidence must lie between 0.5 and 0.9999",
            )
        ),
    )
    rollback_on: RollbackOn = pydantic.Field(
        RollbackOn.WORSE,
        description="Worse: roll back when the canary is proven worse at all. WorseThanMargin: only when proven worse by more than the margin.",
    )
    min_label_coverage: Fraction = pydantic.Field(
        "0.2", description="Hold while a smaller share of the predictions has a label."
    )
    metrics: tuple[Metric, ...] = pydantic.Field(
        (
            Metric(name="f1", type=MetricType.F1, margin="0.02"),
            Metric(name="auc", type=MetricType.ROC_AUC, margin="0.01"),
        ),
        description="All must be good to promote; any one that is bad rolls back.",
        min_length=1,
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class Rollout(Model):
    """How a new version is tried. Copied when a rollout starts: edits count from the next one."""

    canary: Canary = pydantic.Field(Canary(), description="The steps of the trial.")
    progress_deadline_seconds: int = int32(
        600, "The canary must be ready in every member within this time.", ge=10, le=86400
    )
    max_seconds: int = int32(
        86400,
        "Without a verdict by this time the canary is rolled back as inconclusive.",
        ge=60,
        le=7776000,
    )
    scale_down_delay_seconds: int = int32(
        30,
        "Pods that serve no more stay for this long, for connections that still end there.",
        ge=0,
        le=86400,
    )
    analysis: Analysis = pydantic.Field(
        Analysis(), description="How the two versions are compared."
    )


class ModelDeploymentSpec(Model):
    """What the user asks for."""

    model: ModelSource = pydantic.Field(description="Which artifact serves.")
    serving: Serving = pydantic.Field(Serving(), description="The pods that serve.")
    placement: Placement = pydantic.Field(Placement(), description="Which members serve.")
    traffic: Traffic = pydantic.Field(description="How requests reach the pods.")
    feedback: Feedback = pydantic.Field(Feedback(), description="How true labels come back.")
    rollout: Rollout = pydantic.Field(Rollout(), description="How a new version is tried.")
    revision_history_limit: int = int32(
        10, "How many retired revisions are remembered.", ge=0, le=100
    )
