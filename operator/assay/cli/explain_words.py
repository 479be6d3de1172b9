"""What a reason means and what to do about it, for whoever reads it at 3 a.m. Data only."""

from typing import NamedTuple

from assay.api.conditions import Reason
from assay.evidence import errors
from assay.judge import reasons
from assay.rollout import guards


class Advice(NamedTuple):
    """A reason in plain words.

    Attributes
    ----------
    means
        What is the case.
    do
        What a person can do; empty when waiting is right.
    """

    means: str
    do: str = ""


_MONITORING = "Look at that member's Prometheus and at the scrape of the ledger's pod."

HOLDS = {
    reasons.UNDECIDED: Advice(
        "There are labels enough to test, and they prove neither that it is good nor that it is bad. "
        "More labels decide it, or the time is over first."
    ),
    reasons.BURN_IN: Advice(
        "There are too few labels yet for the test to be worth anything. Nothing is wrong."
    ),
    reasons.RARE_CLASS: Advice(
        "A metric over all classes needs more correct rows of the rarest class, in both versions."
    ),
    reasons.TOO_FEW_USERS: Advice(
        "Users are what is counted, and the labels come from too few of them."
    ),
    reasons.USERS_UNKNOWN: Advice(
        "Users were split, and labelled rows do not say whose they are.",
        "Check that requests carry what traffic.stickyBy names.",
    ),
    reasons.UNDERPOWERED: Advice(
        "At the rate at which labels come, not even a canary as good as stable would be proven so "
        "before the time is over.",
        "kubectl assay promote gives it a larger share; a wider margin or more time count from the "
        "next rollout. `assay plan` says how much is needed.",
    ),
    reasons.NO_LABELS: Advice(
        "One of the versions has no labels at all. No data is neither good nor bad.",
        "Find out whether labels are sent to the ledgers: docs/labels.md.",
    ),
    reasons.ONE_CLASS_ONLY: Advice(
        "One version's labels are all of one class, so there is nothing to rank."
    ),
    reasons.METRIC_UNDEFINED: Advice(
        "The metric has no value yet: F1, for instance, without one positive label or prediction."
    ),
    reasons.NO_SCORES: Advice(
        "There are labels, but no scores of the positive class, which AUC needs.",
        "Choose a metric of the confusion matrix, or a model that gives scores.",
    ),
    reasons.POSITIVE_LABEL_UNKNOWN: Advice(
        "Which class is the positive one is not said, or no count knows that class.",
        "Set spec.model.decision.positiveLabel.",
    ),
    reasons.BELOW_FLOOR: Advice(
        "The canary measures beyond its floor. That is not proven, but it is not promoted so."
    ),
    reasons.FLOOR_BREACHED_BY_BOTH: Advice(
        "The canary is proven beyond its floor, but stable measures beyond it too: going back would "
        "cure nothing.",
        "Look at labels and inputs: something has changed for both versions.",
    ),
    reasons.LABEL_COVERAGE_LOW: Advice(
        "Too small a share of the predictions has a label, so the labelled ones may be special.",
        "Find out where labels are lost; analysis.minLabelCoverage is the border.",
    ),
    reasons.LABEL_COVERAGE_MISMATCH: Advice(
        "The two versions get labels for different shares of their rows, beyond chance.",
        "Find out why labels of one version are lost or late.",
    ),
    reasons.LABELS_DEPEND_ON_PREDICTION: Advice(
        "Labels come back for some predicted classes more than for others, which makes metrics wrong.",
        "Label a random part of all predictions, or send each label's probability (docs/labels.md).",
    ),
    reasons.SAMPLE_RATIO_MISMATCH: Advice(
        "The canary serves another share of the rows than the route was asked for.",
        "Look at the gateway, at retries and at callers that go past it.",
    ),
    reasons.BINS_TOO_COARSE: Advice(
        "Nearly all scores fall into the same bins, and what bins hide could matter for the margin.",
        "Choose a wider margin or another metric for the next rollout.",
    ),
    errors.PROMETHEUS_UNREACHABLE: Advice(
        "A member's Prometheus gives no answer, so its counts are not known.", _MONITORING
    ),
    errors.DATA_STALE: Advice(
        "A member's newest counts are too old, or were never scraped.", _MONITORING
    ),
    errors.SERIES_BUDGET_EXCEEDED: Advice(
        "There are more series than one look may read.",
        "Fewer classes or steps have fewer series.",
    ),
    errors.WARNINGS_IN_REPLY: Advice(
        "A member's Prometheus answers with warnings, so its counts may not be all.", _MONITORING
    ),
    errors.HISTORY_INCOMPLETE: Advice(
        "The operator was restarted and still reads the earlier moments of the trial."
    ),
    errors.MALFORMED_REPLY: Advice("A member's Prometheus answers what is no count.", _MONITORING),
    errors.LEDGER_AMBIGUOUS: Advice(
        "A member has counts of two ledgers at once.", "Look at the ledger's pods there."
    ),
    errors.GUARD_AMBIGUOUS: Advice(
        "A guard's query gives several numbers where one is needed.", "Correct its query."
    ),
    guards.NO_DATA: Advice(
        "A guard's query gives no number.", "Ask the member's Prometheus the same (docs/guards.md)."
    ),
    guards.TOO_FEW_REQUESTS: Advice("The canary took too few requests for a guard to speak."),
    guards.PENDING: Advice(
        "A guard is beyond its limit. It rolls back if that lasts for its forSeconds."
    ),
    Reason.NOT_READ.value: Advice("The counts of this trial have not been read yet."),
    Reason.MEMBERS_UNREACHABLE.value: Advice(
        "A member that took part cannot be reached, and its last counts are not known.",
        "Bring the member back; without it maxSeconds ends the trial.",
    ),
    Reason.USERS_NOT_KEPT.value: Advice(
        "A member's gateway does not keep users in one version.",
        "Look at its BackendTrafficPolicy (docs/ab-tests.md).",
    ),
}
"""Why there is no verdict, by the reason of EvidenceSufficient."""

_RETRY = (
    "Name a version that is better, or the stable one to end the Stalled condition. "
    "kubectl assay retry tries this one again with the evidence it had, so what lost by evidence loses again."
)

ENDS = {
    **dict.fromkeys(
        (
            reasons.WORSE,
            reasons.WORSE_THAN_MARGIN,
            reasons.WORSE_LATELY,
            reasons.FLOOR_BREACHED,
        ),
        _RETRY,
    ),
    reasons.WORSE_IN_MEMBER: "Look at what is different about that member's traffic. " + _RETRY,
    guards.BREACHED: "Look at the guard's metric over the time of the trial. " + _RETRY,
    Reason.INCONCLUSIVE.value: (
        "Find out why labels did not decide (`assay plan` says how many are needed). kubectl assay retry goes "
        "on with the labels that there are; a larger share, a wider margin or a larger maxSeconds help."
    ),
    Reason.PROGRESS_DEADLINE_EXCEEDED.value: (
        "Look at its pods (kubectl assay status --contexts, kubectl assay events). A new generation of the spec "
        "may try it again."
    ),
    Reason.ABORTED_BY_HAND.value: "kubectl assay retry tries it again with the evidence it had.",
    Reason.UNDONE_BY_HAND.value: "Let Git name the version that serves; Stalled ends when both agree.",
    Reason.REVERTED.value: "Nothing: the spec names the version that serves.",
    Reason.SUPERSEDED.value: "Nothing: the next version is tried.",
}
"""What to do after a rollback, by its reason."""

_ROOM = "kubectl assay status shows what each member has; more room, or another placement, ends it."

STALLED = {
    Reason.ARTIFACT_REJECTED.value: (
        "Mend uri, digest or credentials; the kubelet goes on trying meanwhile."
    ),
    Reason.INVALID_SPEC.value: "Correct the field that is named; nothing begins before.",
    Reason.NO_MEMBERS.value: "Correct spec.placement.clusterSelector, or label a ModelCluster.",
    **dict.fromkeys(
        (
            Reason.CAPACITY_EXCEEDED.value,
            Reason.OUTSIDE_RESIDENCY.value,
            Reason.TAINTS_NOT_TOLERATED.value,
            Reason.MEMBERS_LOST.value,
            Reason.OVERRIDES_IN_THE_WAY.value,
            Reason.SPREAD_NOT_MET.value,
        ),
        _ROOM,
    ),
}
"""What to do where the spec is not carried out for another reason than a verdict, by that reason."""
