"""The report as JSON that other programs rely on; the page is drawn from nothing else. Pure."""

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.api.deployment_status import ClusterStatus
from assay.api.fields import fraction
from assay.evidence import Evidence
from assay.judge import Judgement
from assay.judge.metrics import metric_of
from assay.rollout.settings import metric_specs

from .judgement import report_several
from .report_curves import ArmCurves, ClassCurves, confusion, curves
from .report_log import log, stamp
from .report_reading import Reading
from .report_replay import Look
from .report_rollout import Subject
from .report_words import by_evidence, headline

FORMAT = "assay.dev/rollout-report/v1"
"""Of the document; it changes when a field changes its meaning or goes."""


@dataclass(frozen=True)
class Found:
    """What was read of the members and made of it; empty where nothing was to be read.

    Attributes
    ----------
    stable
        The revision that the canary was compared with.
    looks
        Oldest first.
    evidence
        Of the last one.
    readings
        By member.
    notes
        What is not as it was, in sentences.
    """

    stable: str | None = None
    looks: tuple[Look, ...] = ()
    evidence: Evidence = field(default_factory=lambda: Evidence(()))
    readings: Mapping[str, Reading] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def document(
    subject: Subject, found: Found, now: datetime.datetime, cost: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the report as plain values; no number is NaN or infinite.

    `cost` is as `assay status -o json` has it, with lines for people; `None` if it is not known.
    """
    last = found.looks[-1].judgement if found.looks else None
    classes, matrices = confusion(found.evidence)
    return {
        "format": FORMAT,
        "namespace": subject.namespace,
        "name": subject.name,
        "generatedAt": stamp(now),
        "headline": headline(subject, last),
        "rollout": _rollout(subject, found),
        "decision": subject.decision.to_dict() if subject.decision else None,
        "metrics": _metrics(subject, found.evidence),
        "evidence": [_look(subject, each) for each in found.looks],
        "confusion": {
            "classes": list(classes),
            **{arm: matrix.tolist() for arm, matrix in matrices.items()},
        },
        "curves": [_curves(each) for each in curves(found.evidence)],
        "members": _members(subject, found),
        "guards": [each.to_dict() for each in subject.status.guards] if subject.kept else [],
        "log": [each.document() for each in log(subject)],
        "history": [each.to_dict() for each in subject.status.history],
        "conditions": [each.to_dict() for each in subject.status.conditions],
        "cost": cost,
        "notes": [*subject.notes, *found.notes, *_differs(subject, last)],
    }


def _rollout(subject: Subject, found: Found) -> dict[str, Any]:
    kept = subject.kept
    stable = found.stable or subject.stable
    return {
        "id": subject.id,
        "stage": kept.stage.value if kept else "Done",
        "startedAt": stamp(subject.started_at),
        "evidenceSince": stamp(subject.since),
        "canary": {"revision": subject.canary, "version": subject.version},
        "stable": None
        if stable is None
        else {"revision": stable, "version": subject.version_of(stable)},
        "settings": subject.settings.to_dict(),
        "settingsOfThen": kept is not None,
        "steps": [
            {**each.to_dict(), "seconds": _since(subject, each.started_at)}
            for each in (kept.steps if kept else ())
        ],
        "waves": [
            {**each.to_dict(), "seconds": _since(subject, each.started_at)}
            for each in (kept.waves if kept else ())
        ],
        "latched": kept.latched.to_dict() if kept and kept.latched else None,
    }


def _since(subject: Subject, time: datetime.datetime) -> float:
    return (time - subject.since).total_seconds()


def _metrics(subject: Subject, evidence: Evidence) -> list[dict[str, Any]]:
    """Return the metrics; margins and floors as numbers."""
    analysis = subject.settings.analysis
    try:
        specs = metric_specs(subject.spec, analysis, evidence)
        better = [metric_of(each).higher_is_better for each in specs]
    except ValueError:
        better = [True for _ in analysis.metrics]  # each look says what is wrong with them
    return [
        {
            "name": each.name,
            "type": each.type.value,
            "margin": fraction(each.margin),
            "floor": None if each.floor is None else fraction(each.floor),
            "higherIsBetter": higher,
            "mode": each.mode.value,
        }
        for each, higher in zip(analysis.metrics, better, strict=True)
    ]


def _look(subject: Subject, look: Look) -> dict[str, Any]:
    at = subject.since + datetime.timedelta(seconds=look.seconds)
    shown = {
        "seconds": look.seconds,
        "at": stamp(at),
        "silent": list(look.silent),
    }
    if look.judgement is None:
        return {**shown, "verdict": None, "reason": None, "message": look.why, "metrics": []}
    return {**shown, **_finite(report_several(look.judgement))}


def _finite(value: Any) -> Any:
    """Put null for what is no number: a test that cannot say anything has an infinite limit."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _curves(each: ClassCurves) -> dict[str, Any]:
    return {
        "class": each.of,
        "rows": each.rows,
        "share": each.share,
        "stable": _of_arm(each.stable),
        "canary": _of_arm(each.canary),
    }


def _of_arm(each: ArmCurves) -> dict[str, Any]:
    return {
        "rocAuc": each.roc_auc,
        "averagePrecision": each.average_precision,
        "roc": _points(each.roc, ("falsePositiveRate", "truePositiveRate")),
        "precisionRecall": _points(each.precision_recall, ("recall", "precision")),
    }


def _points(curve: Sequence[Any], names: tuple[str, str]) -> dict[str, list[float]]:
    return {
        name: [float(f"{value:.6g}") for value in values]
        for name, values in zip(names, curve, strict=True)
    }


def _members(subject: Subject, found: Found) -> list[dict[str, Any]]:
    known = {each.name: each for each in subject.status.clusters}
    names = list(dict.fromkeys((*known, *found.readings)))
    return [_member(name, known.get(name), found) for name in names]


def _member(name: str, cluster: ClusterStatus | None, found: Found) -> dict[str, Any]:
    reading = found.readings.get(name)
    labels: dict[str, int] | None = None
    if reading is not None and reading.last is not None:
        own = [each for each in found.evidence.strata if each.name.rpartition("/")[0] == name]
        labels = {
            "stable": sum(each.stable.labelled for each in own),
            "canary": sum(each.canary.labelled for each in own),
        }
    return {
        "name": name,
        "inStatus": cluster is not None,
        "reachable": cluster.reachable if cluster else None,
        "weight": cluster.weight if cluster else None,
        "ready": cluster.ready if cluster else None,
        "desired": cluster.desired if cluster else None,
        "wave": cluster.wave if cluster else None,
        "message": cluster.message if cluster else "",
        "labels": labels,
        "evidence": None
        if reading is None
        else {
            "problem": reading.problem or None,
            "moments": reading.asked,
            "read": reading.read,
            "holes": dict(reading.holes),
        },
    }


def _differs(subject: Subject, last: Judgement | None) -> list[str]:
    """Say that the counts, read again, do not say what was decided by them."""
    decision = subject.decision
    if decision is None or last is None or not by_evidence(decision):
        return []
    if last.verdict.value == decision.verdict.value:
        return []
    return [
        (
            f"Read again, the counts at the time of the decision say {last.verdict.value} "
            f"({last.reason}), not {decision.verdict.value}: what was decided stands. Prometheus may have "
            "lost samples since, members may not have been read, settings may be others now, or the "
            "decision was latched earlier."
        )
    ]
