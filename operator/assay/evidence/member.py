"""What one member cluster reported, and how several members become strata. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from assay.evidence.counts import ArmCounts, Evidence, ScoreHistogram, Stratum

GRID_BINS = 1024
"""Bins of the log-odds grid on which ledgers count scores."""


@dataclass(frozen=True)
class RevisionCounts:
    """Counts of one revision at one rollout step in one member, as read: only what is not zero.

    Attributes
    ----------
    outcomes
        Labelled rows by (true label, predicted label).
    scores
        Labelled rows by (class, true label, bin).
    served, labelled, requests
        Rows served, rows with a label, requests that brought the rows.
    """

    outcomes: Mapping[tuple[str, str], int] = field(default_factory=dict)
    scores: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    served: int = 0
    labelled: int = 0
    requests: int = 0


@dataclass(frozen=True)
class MemberEvidence:
    """One look at one member.

    Attributes
    ----------
    counts
        By (revision, step); a pair without any series is absent.
    store
        Identity of the ledger's store. When it changes, earlier counts are gone: whoever
        remembers the old one decides what that means.
    age_seconds
        Age of the newest ledger sample when Prometheus answered, by Prometheus's own clock.
    positive
        The positive class by which the ledger counts scores; `None` if it does not say.
    """

    counts: Mapping[tuple[str, int], RevisionCounts]
    store: str
    age_seconds: float
    positive: str | None = None


def combine(
    members: Mapping[str, MemberEvidence],
    stable: str,
    canary: str,
    *,
    weights: Mapping[int, float] | None = None,
    bins: int = GRID_BINS,
) -> Evidence:
    """Strata ``<member>/<step>`` of two revisions.

    Parameters
    ----------
    members
        By name.
    stable, canary
        Revisions. Counts of other revisions are left out.
    weights
        The canary's asked share (0..1) by step, for the sample-ratio test. A step that asks for
        all or nothing has no ratio to test.
    bins
        Size of the score grid.

    The classes are all that appear anywhere (and each member's positive class), sorted, so that
    both arms of every stratum have the same rows and columns from the first label on. The scores
    of the positive class are there from the start too: they tell the judge which one it is.
    """
    rows = [
        (f"{name}/{step}", step, revision, counts)
        for name, member in members.items()
        for (revision, step), counts in member.counts.items()
        if revision in (stable, canary)
    ]
    positives = {member.positive for member in members.values() if member.positive is not None}
    scored = tuple(sorted(positives.union(key[0] for *_, counts in rows for key in counts.scores)))
    labels = _classes((counts for *_, counts in rows), positives)
    arms = {(name, revision): counts for name, _, revision, counts in rows}
    steps = {name: step for name, step, *_ in rows}
    empty = RevisionCounts()
    return Evidence(
        tuple(
            Stratum(
                name=name,
                stable=_arm(arms.get((name, stable), empty), labels, scored, bins),
                canary=_arm(arms.get((name, canary), empty), labels, scored, bins),
                weight=_share((weights or {}).get(step)),
            )
            for name, step in sorted(steps.items())
        )
    )


def _share(weight: float | None) -> float | None:
    return weight if weight is not None and 0.0 < weight < 1.0 else None


def _classes(counted: Iterable[RevisionCounts], positives: set[str]) -> tuple[str, ...]:
    seen = set(positives)
    for counts in counted:
        seen.update(label for pair in counts.outcomes for label in pair)
        seen.update(label for name, label, _ in counts.scores for label in (name, label))
    return tuple(sorted(seen))


def _arm(
    counts: RevisionCounts, labels: tuple[str, ...], scored: tuple[str, ...], bins: int
) -> ArmCounts:
    index = {label: position for position, label in enumerate(labels)}
    confusion = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for (label, predicted), rows in counts.outcomes.items():
        confusion[index[label], index[predicted]] += rows
    histograms = {name: np.zeros((2, bins), dtype=np.int64) for name in scored}
    for (name, label, place), rows in counts.scores.items():
        histograms[name][0 if label == name else 1, place] += rows
    return ArmCounts(
        labels=labels,
        confusion=confusion,
        scores={name: ScoreHistogram(both[0], both[1]) for name, both in histograms.items()},
        served=counts.served,
        labelled=counts.labelled,
        requests=counts.requests,
    )
