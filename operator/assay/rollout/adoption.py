"""Adoption: a hub that knows nothing of a ModelDeployment takes up what its members remember.

That is a hub that was rebuilt from the same manifests: what serves goes on, what was rejected
stays rejected, a trial goes on under its id, with the settings and the evidence that it had.
"""

import datetime
from collections.abc import Iterable

from assay.api.deployment_status import ClusterStatus, ModelDeploymentStatus, Stage, Verdict

from .observation import Event, MemberView
from .wording import clip, named, sentences

_PROGRESS = (Stage.STARTING, Stage.TRIAL, Stage.PROMOTING, Stage.ROLLING_BACK, Stage.DONE)


def is_blank(status: ModelDeploymentStatus) -> bool:
    """Return whether the hub knows of no revision: it is new, or the deployment is."""
    return status.stable is None and status.rollout is None


def adopted(
    status: ModelDeploymentStatus, generation: int, members: Iterable[MemberView]
) -> tuple[ModelDeploymentStatus, Event] | None:
    """Return the status that `members` remember; None if the hub knows better or they know nothing.

    The record that got furthest counts: of the newest rollout, a decided one before one that is
    not, a rollback before anything (it may be written in one member only). Each member speaks for
    itself in ``clusters``. One whose counts were judged and whose record cannot be read is named
    there too, so that nothing is judged without them.
    """
    if not is_blank(status):
        return None
    records = {
        member.name: (member, member.record, member.record.kept)
        for member in members
        if member.reachable and member.record is not None and member.record.kept is not None
    }
    if not records:
        return None
    _, record, kept = max(records.values(), key=lambda item: _progress(item[2]))
    present = tuple(
        _own(cluster, member, same_rollout=each.rollout == record.rollout)
        for member, each, own in records.values()
        for cluster in own.clusters
    )
    away = record.judged - records.keys()
    taken = kept.model_copy(
        update={
            "clusters": (*present, *map(_away, sorted(away))),
            # The generation of another object says nothing: not tried again by the spec as it is.
            "rejected_revisions": tuple(
                item
                if item.generation is None
                else item.model_copy(update={"generation": generation})
                for item in kept.rejected_revisions
            ),
        }
    )
    return taken, _told(taken, sorted(records))


def _progress(kept: ModelDeploymentStatus) -> tuple[datetime.datetime, bool, bool, int, int]:
    rollout = kept.rollout
    if rollout is None:
        raise AssertionError("a record is one of a rollout")
    decision = rollout.decision
    return (
        rollout.started_at,
        decision is not None and decision.verdict is Verdict.ROLLBACK,
        decision is not None,
        _PROGRESS.index(rollout.stage),
        len(rollout.steps),
    )


def _own(cluster: ClusterStatus, member: MemberView, *, same_rollout: bool) -> ClusterStatus:
    # What placement gave it is what it has: stable has all its pods, in a trial too.
    whole = max((pods.desired for pods in member.revisions.values()), default=0)
    cluster = cluster.model_copy(update={"replicas": whole or None})
    past = {"weight": 0, "ledger_store": None, "wave": None, "held_replicas": None, "strata": None}
    return cluster if same_rollout else cluster.model_copy(update=past)


def _away(name: str) -> ClusterStatus:
    return ClusterStatus(
        name=name, reachable=False, ledger_store="unknown", message="its record was not read"
    )


def _told(status: ModelDeploymentStatus, members: list[str]) -> Event:
    rollout = status.rollout
    under_way = rollout is not None and rollout.stage is not Stage.DONE and status.canary
    message = sentences(
        f"this hub had no status of it, so it takes up what {', '.join(members)} remember:"
        f" {named(status.stable)} serves",
        f"the rollout of {named(status.canary)} goes on" if under_way else "",
        *(f"version {item.version} stays rejected" for item in status.rejected_revisions[:3]),
    )
    return Event("Normal", "Adopted", clip(message))
