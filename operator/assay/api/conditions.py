"""Every condition type and reason that status can carry, each with what it means."""

import datetime
import enum
from collections.abc import Iterable
from typing import Literal

import pydantic

from .fields import Model, Text, Timestamp


class ConditionStatus(enum.StrEnum):
    """Whether the condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ConditionType(enum.StrEnum):
    """The conditions of a ModelDeployment and a ModelCluster (kstatus: the first three)."""

    READY = "Ready"
    """What the spec asks for is what serves, everywhere."""
    RECONCILING = "Reconciling"
    """Work is under way: pods start, a trial runs. Only present while true."""
    STALLED = "Stalled"
    """Waiting alone is not expected to help, somebody is needed. Only present while true.

    Not always in the spec: an artifact that appears after all ends it too (docs/rollout.md).
    """
    AVAILABLE = "Available"
    """Some stable revision answers requests in every reachable member."""
    PROMOTED = "Promoted"
    """The revision that the spec names is the stable one."""
    EVIDENCE_SUFFICIENT = "EvidenceSufficient"
    """The trial's evidence can be read and judged."""
    PLACED = "Placed"
    """Every replica has a place, and every spread constraint is met."""
    MEMBERS_REACHABLE = "MembersReachable"
    """The operator can talk to every chosen member."""
    USERS_KEPT = "UsersKept"
    """Every member's gateway keeps a user in one arm. Only present with `traffic.stickyBy`."""
    UNSAFE_MODEL = "UnsafeModel"
    """A revision in use is a Joblib artifact, whose loading runs code from it. Only present while true."""
    PAUSED = "Paused"
    """The rollout waits for a person, or the spec says that nothing may change. Only present while true."""
    DRIFT_DETECTED = "DriftDetected"
    """What stable is given differs from training or from earlier days. Only present where it is watched."""
    QUALITY_DECAYED = "QualityDecayed"
    """Stable's F1 has fallen below that of its reference. Only present where it is watched."""
    REACHABLE = "Reachable"
    """ModelCluster: the operator can talk to this member."""
    CONTROL_PLANE_HEALTHY = "ControlPlaneHealthy"
    """ModelCluster: what its ClusterProfile says of it. Only shown; decides nothing."""
    UNSUPPORTED_VERSION = "UnsupportedVersion"
    """ModelCluster: its Kubernetes is older than Assay needs; used all the same. Only present while true."""


class Reason(enum.StrEnum):
    """Why a condition has its status. Judge and evidence bring reasons of their own for holds."""

    SERVING = "Serving"
    """The revision of the spec serves in every member."""
    STARTING = "Starting"
    """Pods of a revision are starting."""
    TRIAL_RUNNING = "TrialRunning"
    """A canary is on trial; stable serves the rest."""
    PROMOTING = "Promoting"
    """The canary has won and takes all traffic."""
    ROLLING_BACK = "RollingBack"
    """The canary has lost and gives its traffic back."""
    ROLLED_BACK = "RolledBack"
    """The revision that the spec names was rejected; stable serves."""
    INVALID_SPEC = "InvalidSpec"
    """The spec cannot be carried out; the message names the field."""
    ARTIFACT_REJECTED = "ArtifactRejected"
    """The model artifact could not be fetched, checked or loaded; the message says why."""
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    """Pods did not become ready in time."""
    INCONCLUSIVE = "Inconclusive"
    """No verdict within maxSeconds; the canary was rolled back."""
    SUPERSEDED = "Superseded"
    """Another revision took the canary's place."""
    REVERTED = "Reverted"
    """The spec went back to the stable revision in the middle of a trial."""
    NO_MEMBERS = "NoMembers"
    """No ModelCluster matches the placement."""
    REPLICAS_PLACED = "ReplicasPlaced"
    """Every replica has a place within everything that placement asks for."""
    CAPACITY_EXCEEDED = "CapacityExceeded"
    """The members that may serve have not enough room; the message says how much each has."""
    OUTSIDE_RESIDENCY = "OutsideResidency"
    """No member lies within placement.residency, or not enough of them."""
    TAINTS_NOT_TOLERATED = "TaintsNotTolerated"
    """Taints keep the members away that would be needed."""
    OVERRIDES_IN_THE_WAY = "OverridesInTheWay"
    """With the numbers of placement.overrides some replicas have no member left."""
    MEMBERS_LOST = "MembersLost"
    """Members that cannot be reached are needed for all replicas."""
    SPREAD_NOT_MET = "SpreadNotMet"
    """The members that may serve are in too few groups, or the replicas need too many."""
    NOT_AVAILABLE = "NotAvailable"
    """No revision answers yet."""
    MEMBERS_UNREACHABLE = "MembersUnreachable"
    """Some members cannot be reached; the message names them and the error."""
    ALL_REACHABLE = "AllReachable"
    """Every chosen member answers."""
    APPLY_FAILED = "ApplyFailed"
    """A member refused an object; the message is its own."""
    HELD_BY_OTHER_HUB = "HeldByOtherHub"
    """Another hub holds the member's Lease."""
    SECRET_MISSING = "SecretMissing"  # noqa: S105
    """The kubeconfig Secret or its key is not there."""
    CREDENTIALS_INVALID = "CredentialsInvalid"
    """The kubeconfig cannot be used, or the member refuses it."""
    CLUSTER_PROFILE_MISSING = "ClusterProfileMissing"
    """The ClusterProfile cannot be read: it, its kind, or the right to read it is not there."""
    ACCESS_PROVIDER_NOT_ALLOWED = "AccessProviderNotAllowed"
    """The ClusterProfile names no access provider that the operator may use."""
    CREDENTIAL_PLUGIN_FAILED = "CredentialPluginFailed"
    """The access provider's program gave no credentials; the message says what it did."""
    KUBERNETES_TOO_OLD = "KubernetesTooOld"
    """The member's Kubernetes is older than the oldest that Assay is made for."""
    CONNECTED = "Connected"
    """The member answers and accepts the credentials."""
    FIRST_REVISION = "FirstRevision"
    """There was no revision before it to compare with; being ready was enough."""
    NOT_READ = "NotRead"
    """The trial's evidence has not been read yet."""
    USERS_KEPT = "UsersKept"
    """Every reachable member's gateway has taken the policy that keeps users."""
    USERS_NOT_KEPT = "UsersNotKept"
    """Some member's gateway does not keep users, or not yet (Unknown); the message says which and why."""
    CODE_ON_LOAD = "CodeOnLoad"
    """Loading the artifact runs code from it, which no digest or signature makes harmless."""
    PAUSED_IN_SPEC = "PausedInSpec"
    """spec.paused holds the rollout; a change of the spec ends it."""
    PAUSED_BY_HAND = "PausedByHand"
    """Somebody holds the rollout; kubectl assay resume ends it."""
    WAITING_FOR_APPROVAL = "WaitingForApproval"
    """The trial has come to a manual pause; kubectl assay approve ends it."""
    GUARDS_KEPT = "GuardsKept"
    """A trial on health and guards only went through its last step with every guard kept."""
    PROMOTED_BY_HAND = "PromotedByHand"
    """Somebody took the canary although there was no verdict."""
    ABORTED_BY_HAND = "AbortedByHand"
    """Somebody ended the trial; the canary was rolled back."""
    FAST_TRACK = "FastTrack"
    """The spec went back to a revision that was stable not long ago; it was promoted without a trial."""
    UNDONE_BY_HAND = "UndoneByHand"
    """Somebody went back to a revision that was stable before."""
    NO_DRIFT = "NoDrift"
    """Every watched feature is as in training, or as on earlier days."""
    DIFFERS_FROM_TRAINING = "DiffersFromTraining"
    """Features of a whole day are not as in the training rows; the message says which and how far."""
    DIFFERS_FROM_EARLIER_DAYS = "DiffersFromEarlierDays"
    """Features are not as at the same time of earlier days; the message says which and how far."""
    HISTORY_TOO_SHORT = "HistoryTooShort"
    """Nothing can be compared yet: the pods have not served for long enough."""
    TOO_FEW_ROWS = "TooFewRows"
    """Too few rows were served to compare anything."""
    QUALITY_KEPT = "QualityKept"
    """Nothing shows that F1 is worse than the reference's by more than spec.drift.margin."""
    LABELLED_QUALITY_FELL = "LabelledQualityFell"
    """Live labels show that F1 is worse than the reference's by more than spec.drift.margin."""
    ESTIMATED_QUALITY_FELL = "EstimatedQualityFell"
    """Scores say that F1 is worse than the reference's by more than spec.drift.margin; labels do not say it yet."""
    NO_TRIAL = "NoTrial"
    """There is nothing to judge."""
    DELETING = "Deleting"
    """The ModelDeployment is being deleted; members are cleaned."""


StalledReason = Literal[
    Reason.NO_MEMBERS,
    Reason.ARTIFACT_REJECTED,
    Reason.INVALID_SPEC,
    Reason.ROLLED_BACK,
    Reason.PROGRESS_DEADLINE_EXCEEDED,
    Reason.CAPACITY_EXCEEDED,
    Reason.OUTSIDE_RESIDENCY,
    Reason.TAINTS_NOT_TOLERATED,
    Reason.MEMBERS_LOST,
    Reason.OVERRIDES_IN_THE_WAY,
    Reason.SPREAD_NOT_MET,
]
"""With what a ModelDeployment is Stalled. Each has a runbook in docs/stalled.md."""


class Condition(Model):
    """One observation about the object (metav1.Condition)."""

    type: str = pydantic.Field(max_length=64)
    status: ConditionStatus
    reason: str = pydantic.Field(max_length=64, min_length=1)
    message: Text = ""
    observed_generation: int = pydantic.Field(0, ge=0, json_schema_extra={"format": "int64"})
    last_transition_time: Timestamp


_FIRST = (ConditionType.STALLED, ConditionType.RECONCILING, ConditionType.READY)
_ABNORMAL = frozenset(
    {
        ConditionType.STALLED,
        ConditionType.RECONCILING,
        ConditionType.UNSAFE_MODEL,
        ConditionType.PAUSED,
        ConditionType.UNSUPPORTED_VERSION,
    }
)
_MESSAGE_LIMIT = 1024


def condition(
    type_: ConditionType,
    status: bool | None,  # noqa: FBT001
    reason: str,
    message: str = "",
) -> Condition:
    """Return a condition without its times, which `update` fills in."""
    word = {True: ConditionStatus.TRUE, False: ConditionStatus.FALSE, None: ConditionStatus.UNKNOWN}
    if len(message) > _MESSAGE_LIMIT:
        message = message[: _MESSAGE_LIMIT - 1] + "…"
    return Condition(
        type=type_,
        status=word[status],
        reason=reason,
        message=message,
        last_transition_time=datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC),
    )


def update(
    old: Iterable[Condition], new: Iterable[Condition], generation: int, now: datetime.datetime
) -> tuple[Condition, ...]:
    """Return the conditions `new` with their times, sorted, abnormal ones only while true.

    ``lastTransitionTime`` changes only when the status does, as the Kubernetes API conventions ask.
    """
    before = {item.type: item for item in old}
    result = []
    for item in new:
        if item.type in _ABNORMAL and item.status is not ConditionStatus.TRUE:
            continue
        previous = before.get(item.type)
        same = previous is not None and previous.status is item.status
        since = previous.last_transition_time if same and previous else now
        result.append(
            item.model_copy(
                update={"last_transition_time": since, "observed_generation": generation}
            )
        )
    return tuple(
        sorted(
            result,
            key=lambda item: (
                _FIRST.index(ConditionType(item.type)) if item.type in _FIRST else len(_FIRST),
                item.type,
            ),
        )
    )
