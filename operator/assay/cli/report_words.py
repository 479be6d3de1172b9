"""Decisions in plain words, for people who were not there."""

from assay.api.conditions import Reason
from assay.api.deployment_status import DecisionRecord, Stage, Verdict
from assay.judge import Judgement, reasons
from assay.rollout.guards import BREACHED
from assay.rollout.wording import moment, sentences

from .report_rollout import Subject

WHY = {
    reasons.NOT_WORSE: "in every metric it is shown to be no worse than the old version by the margin",
    reasons.BETTER: "in every metric it is shown to be better than the old version",
    reasons.WORSE: "in a metric it is shown to be worse than the old version",
    reasons.WORSE_THAN_MARGIN: "in a metric it is shown to be worse than the old version by more than the margin",
    reasons.WORSE_LATELY: "since a moment in the middle of the trial it is shown to be worse",
    reasons.WORSE_IN_MEMBER: "in one member cluster it is shown to be worse",
    reasons.FLOOR_BREACHED: "in a metric it is shown to lie beyond the floor that the settings name",
    BREACHED: "a guard was breached",
    Reason.GUARDS_KEPT.value: "it went through all steps and every guard was kept; labels were not asked for",
    Reason.FIRST_REVISION.value: "there was no version before it to compare with",
    Reason.FAST_TRACK.value: "it was the stable version not long ago, so it was not tried again",
    Reason.PROMOTED_BY_HAND.value: "a person decided so, without a verdict",
    Reason.ABORTED_BY_HAND.value: "a person ended the trial",
    Reason.UNDONE_BY_HAND.value: "a person went back to a version that was stable before",
    Reason.INCONCLUSIVE.value: "there was no verdict in the time that the settings give",
    Reason.PROGRESS_DEADLINE_EXCEEDED.value: "its pods were not ready in time",
    Reason.SUPERSEDED.value: "another version took its place",
    Reason.REVERTED.value: "the spec went back to the version that serves",
}
"""Why a rollout ended, by the reason that status has."""

_DONE = {
    Verdict.PROMOTE: "was promoted",
    Verdict.ROLLBACK: "was rolled back",
    Verdict.HOLD: "was given up",
}


def headline(subject: Subject, last: Judgement | None) -> str:
    """Return what became of the rollout, and why, in two sentences or three."""
    who = f"Version {subject.version}"
    if subject.decision is not None:
        return _ended(who, subject.decision)
    stage = subject.kept.stage if subject.kept else Stage.DONE
    if stage is Stage.STARTING:
        return f"{who} is starting: no traffic yet, nothing to compare."
    if last is None:
        return f"{who} is on trial, and nothing is decided yet."
    return sentences(
        f"{who} is on trial, and nothing is decided yet",
        f"The evidence of now says {last.verdict.value} ({last.reason})",
        last.message,
    )


def _ended(who: str, decision: DecisionRecord) -> str:
    why = WHY.get(decision.reason)
    by = f" by {decision.by}" if decision.by else ""
    asked = f"In their words: {decision.request_reason}" if decision.request_reason else ""
    return sentences(
        f"{who} {_DONE[decision.verdict]}{by} at {moment(decision.at)}"
        + (f": {why}" if why else f" ({decision.reason})"),
        decision.message,
        asked,
    )


def by_evidence(decision: DecisionRecord) -> bool:
    """Return whether the judge decided, and not a guard, a deadline or a person."""
    return decision.reason in {
        reasons.NOT_WORSE,
        reasons.BETTER,
        reasons.WORSE,
        reasons.WORSE_THAN_MARGIN,
        reasons.WORSE_LATELY,
        reasons.WORSE_IN_MEMBER,
        reasons.FLOOR_BREACHED,
    }
