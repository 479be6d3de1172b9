"""Which rollout a report is about, and what is kept of it.

Of the present or last rollout status keeps everything: steps, waves, settings. Of earlier ones it
keeps how they ended; what the judge needs besides is then taken from the spec of now, and said.
"""

import dataclasses
import datetime
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click
import pydantic

from assay.api.conditions import Reason
from assay.api.deployment_status import (
    DecisionRecord,
    HistoryEntry,
    ModelDeploymentStatus,
    RejectedRevision,
    RevisionRef,
    RolloutStatus,
    Stage,
    Verdict,
)
from assay.api.model_deployment import ModelDeploymentSpec, Rollout
from assay.evidence import MemberEvidence
from assay.render.revision import revision_hash
from assay.rollout.judging import Question

from .hub import status_of


@dataclass(frozen=True)
class Subject:
    """One rollout.

    Attributes
    ----------
    namespace, name
        Of the ModelDeployment.
    spec, status
        Of now.
    id
        Of the rollout.
    kept
        All that status has of it; `None` if it is in the history only.
    canary, version
        What was on trial.
    stable
        The revision that it was compared with; `None` if only the counts can tell.
    settings
        By which it was judged.
    started_at, since
        When it started, and when its evidence did (an earlier trial's, if it continues one).
    decision
        How it ended, or is about to; `None` while nothing is decided.
    notes
        What is not as it was, in sentences.
    """

    namespace: str
    name: str
    spec: ModelDeploymentSpec
    status: ModelDeploymentStatus
    id: str
    kept: RolloutStatus | None
    canary: str
    version: str
    stable: str | None
    settings: Rollout
    started_at: datetime.datetime
    since: datetime.datetime
    decision: DecisionRecord | None
    notes: tuple[str, ...] = ()

    @property
    def alone(self) -> str:
        """Why labels of two revisions are not compared in it; empty if they are."""
        decided = self.decision is not None and self.decision.reason == Reason.FIRST_REVISION
        running = self.kept is not None and self.kept.stage is not Stage.DONE
        if decided or (running and self.status.stable is None):
            return "This was a first version: there was no other to compare it with."
        if not self.settings.analysis.metrics:
            return "A trial on health and guards only: no labels are compared."
        if self.kept is not None and not self.kept.steps:
            return "It has had no traffic, so there are no labels to compare."
        return ""

    @property
    def members(self) -> tuple[str, ...]:
        """The members as status has them now."""
        return tuple(cluster.name for cluster in self.status.clusters)

    @property
    def earlier(self) -> tuple[str, ...]:
        """Rollouts whose counts are this one's, too."""
        return self.kept.earlier if self.kept else ()

    def version_of(self, revision: str) -> str | None:
        """Return what people call a revision."""
        status = self.status
        known = {each.revision: each.version for each in status.rejected_revisions}
        known |= {each.revision: each.version for each in reversed(status.history)}
        known |= {each.revision: each.version for each in (status.canary, status.stable) if each}
        return known.get(revision)

    def question(self, stable: str) -> Question:
        """Return what the judge was asked."""
        weights = None
        if self.kept is not None and not self.kept.by_pods:
            weights = {index: step.weight / 100 for index, step in enumerate(self.kept.steps)}
        by_user = self.kept is not None and self.kept.sticky_by is not None
        return Question(
            self.spec,
            self.settings,
            stable,
            self.canary,
            len(self.status.clusters),
            weights,
            by_user,
        )


def subject(document: Mapping[str, Any], asked: str | None) -> Subject:
    """Return the rollout with the id `asked`, or the present or last one.

    Parameters
    ----------
    document
        The ModelDeployment.

    Raises
    ------
    click.ClickException
        If there is no such rollout, or the object cannot be read.
    """
    metadata = document["metadata"]
    name = f"{metadata['namespace']}/{metadata['name']}"
    status = status_of(dict(document))
    try:
        spec = ModelDeploymentSpec.model_validate(document.get("spec") or {})
    except pydantic.ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise click.ClickException(
            f"spec.{where} cannot be read: this command is older than the operator"
        ) from None
    known = list(dict.fromkeys(_ids(status)))
    if not known:
        raise click.ClickException(
            f"{name} has had no rollout yet: nothing of it has been looked at by the operator"
        )
    chosen = known[0] if asked is None else asked
    if chosen not in known:
        raise click.ClickException(
            f"--rollout: {name} has no rollout {chosen}; known are {', '.join(known)} (older ones "
            "go by revisionHistoryLimit)"
        )
    entry = next((each for each in status.history if each.id == chosen), None)
    rollout = status.rollout
    found = (
        _kept(metadata, spec, status, rollout, entry)
        if rollout is not None and rollout.id == chosen
        else None
    )
    if found is None and entry is not None:
        found = _remembered(metadata, spec, status, entry)
    if found is None:
        raise click.ClickException(f"{name}: status does not say which revision {chosen} tried")
    alone = (found.alone,) if found.alone else ()
    return dataclasses.replace(found, notes=(*alone, *_of_spec(found), *found.notes))


def _ids(status: ModelDeploymentStatus) -> Iterator[str]:
    if status.rollout is not None:
        yield status.rollout.id
    for entry in status.history:
        yield entry.id


def _kept(
    metadata: Mapping[str, Any],
    spec: ModelDeploymentSpec,
    status: ModelDeploymentStatus,
    rollout: RolloutStatus,
    entry: HistoryEntry | None,
) -> Subject | None:
    """Return the rollout that status is about."""
    over = rollout.stage is Stage.DONE
    tried = _tried(status, rollout, entry) if over else status.canary or entry
    if tried is None:
        return None
    back = over and status.stable is not None and status.stable.revision != tried.revision
    stable = status.stable.revision if status.stable and (back or not over) else None
    return Subject(
        metadata["namespace"],
        metadata["name"],
        spec,
        status,
        rollout.id,
        rollout,
        tried.revision,
        tried.version,
        stable,
        rollout.settings,
        rollout.started_at,
        rollout.evidence_since,
        rollout.decision,
    )


def _tried(
    status: ModelDeploymentStatus, rollout: RolloutStatus, entry: HistoryEntry | None
) -> HistoryEntry | RevisionRef | RejectedRevision | None:
    """Return what a finished rollout tried; with revisionHistoryLimit 0 there is no history."""
    if entry is not None:
        return entry
    if rollout.decision is not None and rollout.decision.verdict is Verdict.PROMOTE:
        return status.stable
    for each in status.rejected_revisions:
        if each.trials is not None and rollout.id in each.trials.rollouts:
            return each
    return None


def _remembered(
    metadata: Mapping[str, Any],
    spec: ModelDeploymentSpec,
    status: ModelDeploymentStatus,
    entry: HistoryEntry,
) -> Subject:
    """Return a rollout of which only the end is kept."""
    decision = DecisionRecord(
        verdict=entry.verdict,
        reason=entry.reason,
        message=entry.message,
        at=entry.at,
        by=entry.by,
        request_reason=entry.request_reason,
    )
    return Subject(
        metadata["namespace"],
        metadata["name"],
        spec,
        status,
        entry.id,
        None,
        entry.revision,
        entry.version,
        None,
        spec.rollout,
        entry.started_at,
        entry.started_at,
        decision,
        (
            (
                "Of a rollout before the last one only its end is kept. Metrics, margins and confidence "
                "here are those of the spec of now, the number of members is that of now, steps have no "
                "times, and whether the split of the traffic was as asked is not looked at."
            ),
        ),
    )


def _of_spec(found: Subject) -> Iterator[str]:
    """Say what is taken from a spec that names another version by now."""
    if not found.alone and revision_hash(found.spec) != found.canary:
        yield (
            "The spec names another version by now. Which class is positive, and from which age on "
            "labels count, is taken from it."
        )


def compared_with(counts: Collection[MemberEvidence], canary: str) -> str | None:
    """Return the one revision besides the canary that has counts; `None` if there is not one."""
    found = {revision for each in counts for revision, _ in each.counts} - {canary}
    return found.pop() if len(found) == 1 else None
