"""``ModelDeployment.status``: what the operator observed and decided."""

import enum
from typing import Annotated

import pydantic

from .analysis import Mode
from .conditions import Condition
from .fields import Decimals, Digest, Fraction, Model, Name, Revision, Text, Timestamp, Word
from .model_deployment import ModelFormat, Rollout

RolloutId = Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{10}$", max_length=10)]
Reasoned = Annotated[str, pydantic.Field(max_length=64)]


GUARDS = 100
"""What status admits of guards and members; the worst are kept."""


def _int32(description: str) -> int:
    field: int = pydantic.Field(
        0, description=description, ge=0, json_schema_extra={"format": "int32"}
    )
    return field


class Verdict(enum.StrEnum):
    """What the evidence says."""

    PROMOTE = "Promote"
    ROLLBACK = "Rollback"
    HOLD = "Hold"


class Stage(enum.StrEnum):
    """Where a rollout is (design: the one transition table in assay.rollout.transitions)."""

    STARTING = "Starting"
    TRIAL = "Trial"
    PROMOTING = "Promoting"
    ROLLING_BACK = "RollingBack"
    DONE = "Done"


class RevisionRef(Model):
    """One revision by the names that people and machines know it by."""

    revision: Revision
    version: Word
    digest: Digest
    threshold: Fraction | None = None
    format: ModelFormat | None = pydantic.Field(
        None, description="How the artifact is stored; Skops when left out."
    )


class RejectedRevision(Model):
    """A revision that lost. It is not tried again until its hash changes."""

    revision: Revision
    version: Word
    reason: Reasoned
    message: Text = ""
    at: Timestamp
    generation: int | None = pydantic.Field(
        None,
        description="Only set when the pods never became ready: then a new generation of the spec may try again.",
        json_schema_extra={"format": "int64"},
    )


class RetiredRevision(Model):
    """A revision that takes no traffic any more and whose pods stay until `until`."""

    revision: Revision
    until: Timestamp


class StepRecord(Model):
    """A step that was taken."""

    weight: int = _int32("Percent of the requests for the canary.")
    started_at: Timestamp


class DecisionRecord(Model):
    """How a rollout was decided; written before anything is done (rollback: after)."""

    verdict: Verdict
    reason: Reasoned
    message: Text = ""
    at: Timestamp


class RolloutStatus(Model):
    """The trial of one canary, or the first start of a deployment."""

    id: RolloutId
    stage: Stage
    step: int = _int32("Index of the current step.")
    started_at: Timestamp
    settings: Rollout = pydantic.Field(
        description="The spec's rollout section as it was when the rollout started."
    )
    steps: tuple[StepRecord, ...] = pydantic.Field(
        (), max_length=16, json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )
    decision: DecisionRecord | None = None


class AnalysisStatus(Model):
    """What one metric says now; numbers are strings as everywhere in the API."""

    metric: Name
    mode: Mode | None = pydantic.Field(
        None, description="DryRun: shown only, it decides nothing. Decide when left out."
    )
    stable: Decimals | None = None
    canary: Decimals | None = None
    difference: Decimals | None = None
    lower: Decimals | None = None
    upper: Decimals | None = None
    log_e_promote: Decimals | None = None
    log_e_rollback: Decimals | None = None
    labels_stable: int = _int32("Labels of stable.")
    labels_canary: int = _int32("Labels of the canary.")
    verdict: Verdict
    reason: Reasoned
    message: Text = ""


class GuardStatus(Model):
    """What one guard says of one member now."""

    name: Name
    member: Name
    mode: Mode | None = pydantic.Field(
        None, description="DryRun: shown only, it decides nothing. Decide when left out."
    )
    value: Decimals | None = None
    limit: Annotated[str, pydantic.Field(max_length=32)] = pydantic.Field(
        description='What the value must keep to, for instance "<= 0.2".'
    )
    requests: int = pydantic.Field(
        0,
        description="Requests that the canary took there in this rollout, answered or failed.",
        ge=0,
        json_schema_extra={"format": "int64"},
    )
    reason: Reasoned
    since: Timestamp | None = pydantic.Field(
        None,
        description="Since when the value is beyond its limit, without the time in which there was none.",
    )
    silent_since: Timestamp | None = pydantic.Field(
        None, description="Since when a value that was beyond its limit is missing."
    )
    message: Text = ""


class ClusterStatus(Model):
    """What one member runs."""

    name: Name
    reachable: bool
    revision: Revision | None = pydantic.Field(None, description="Revision that serves as stable.")
    weight: int = _int32("Percent of the requests for the canary.")
    ready: int = _int32("Pods of stable and canary that are ready.")
    desired: int = _int32("Pods of stable and canary that should be.")
    message: Text = ""
    ledger_store: Annotated[str, pydantic.Field(max_length=64)] | None = pydantic.Field(
        None,
        description="Identity of the ledger's volume, once its evidence was read in the present rollout.",
    )
    unreachable_since: Timestamp | None = None


class HistoryEntry(Model):
    """One finished rollout."""

    id: RolloutId
    version: Word
    revision: Revision
    verdict: Verdict
    reason: Reasoned
    message: Text = ""
    started_at: Timestamp
    at: Timestamp


class ModelDeploymentStatus(Model):
    """What the operator observed and decided. There is no phase: conditions are observations."""

    observed_generation: int = pydantic.Field(0, ge=0, json_schema_extra={"format": "int64"})
    conditions: tuple[Condition, ...] = pydantic.Field(
        (),
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    stable: RevisionRef | None = None
    canary: RevisionRef | None = None
    rollout: RolloutStatus | None = None
    rejected_revisions: tuple[RejectedRevision, ...] = pydantic.Field(
        (), max_length=100, json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )
    retired_revisions: tuple[RetiredRevision, ...] = pydantic.Field(
        (), max_length=100, json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )
    analysis: tuple[AnalysisStatus, ...] = pydantic.Field(
        (),
        max_length=8,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["metric"],
        },
    )
    guards: tuple[GuardStatus, ...] = pydantic.Field(
        (),
        max_length=GUARDS,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name", "member"],
        },
    )
    clusters: tuple[ClusterStatus, ...] = pydantic.Field(
        (),
        max_length=500,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    history: tuple[HistoryEntry, ...] = pydantic.Field(
        (), max_length=100, json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )
