"""What the operator exports about itself and about the trials it judges."""

import math
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from assay import drift
from assay.api.analysis import Guard
from assay.api.conditions import Condition, ConditionStatus, ConditionType
from assay.api.deployment_status import Verdict
from assay.api.fields import fraction
from assay.drift import decay
from assay.judge import Judgement, MetricJudgement
from assay.rollout.observation import GuardReading

REGISTRY = CollectorRegistry()

_OF_METRIC = ("namespace", "deployment", "metric")


def _gauge(name: str, text: str, labels: Iterable[str]) -> Gauge:
    return Gauge(name, text, tuple(labels), registry=REGISTRY)


VALUE = _gauge("assay_metric_value", "Live value of a metric.", (*_OF_METRIC, "arm"))
DIFFERENCE = _gauge("assay_metric_difference", "Canary minus stable.", _OF_METRIC)
BOUND = _gauge(
    "assay_metric_difference_bound", "Confidence bound of the difference.", (*_OF_METRIC, "side")
)
LOG_E = _gauge(
    "assay_metric_log_e_value", "Evidence for a verdict, natural logarithm.", (*_OF_METRIC, "test")
)
LIMIT = _gauge(
    "assay_metric_log_e_limit", "What the evidence for a verdict must reach.", (*_OF_METRIC, "test")
)
LABELS = _gauge("assay_metric_labels", "Labels that were counted.", (*_OF_METRIC, "arm"))
VERDICT = _gauge(
    "assay_verdict",
    "1 for the verdict of the last look at the trial.",
    ("namespace", "deployment", "verdict"),
)
GUARD = _gauge(
    "assay_guard_value",
    "What a guard's query gave in a member, NaN while it gives nothing.",
    ("namespace", "deployment", "guard", "member"),
)
GUARD_LIMIT = _gauge(
    "assay_guard_limit",
    "What a guard's value must not be above (max) or below (min).",
    ("namespace", "deployment", "guard", "side"),
)
PROBLEM = _gauge(
    "assay_deployment_problem",
    "1 while a condition of a ModelDeployment asks for somebody's attention.",
    ("namespace", "deployment", "condition", "reason"),
)
MEMBER_REACHABLE = _gauge(
    "assay_member_reachable", "1 while the operator can use the member.", ("member",)
)
RECONCILE_SECONDS = Histogram(
    "assay_reconcile_duration_seconds",
    "Time of one reconcile, from reading the object to the last answer.",
    registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
RECONCILE_ERRORS = Counter(
    "assay_reconcile_errors_total",
    "Reconciles that ended with an error.",
    ("namespace", "deployment"),
    registry=REGISTRY,
)
EVIDENCE_PROBLEMS = Counter(
    "assay_evidence_problems_total",
    "Looks at a member's evidence that failed.",
    ("member", "reason"),
    registry=REGISTRY,
)

_OF_DEPLOYMENT = ("namespace", "deployment")
_OF_SOURCE = (*_OF_DEPLOYMENT, "source")

DRIFT = _gauge(
    "assay_drift_detected",
    "1 while inputs of stable have drifted, NaN while nothing can be compared.",
    _OF_DEPLOYMENT,
)
DRIFTED = _gauge("assay_drifted_features", "Features of stable that have drifted.", _OF_DEPLOYMENT)
DECAYED = _gauge(
    "assay_quality_decayed",
    "1 while F1 of stable is below that of its reference, NaN while nothing can be compared.",
    _OF_DEPLOYMENT,
)
STABLE_F1 = _gauge(
    "assay_quality_f1", "F1 of stable by live labels, or estimated from scores.", _OF_SOURCE
)
STABLE_F1_ERROR = _gauge(
    "assay_quality_f1_standard_error", "Standard error of assay_quality_f1.", _OF_SOURCE
)
DECAY_LOG_E = _gauge(
    "assay_quality_log_e_value", "Evidence for decay, natural logarithm.", _OF_SOURCE
)
DRIFT_QUESTIONS = Counter(
    "assay_drift_questions_total",
    "Questions about drift that a member's Prometheus was asked.",
    ("member",),
    registry=REGISTRY,
)

Labels = tuple[str, ...]

_SHOWN: dict[tuple[str, str], set[tuple[Gauge, Labels]]] = {}
"""What is exported of each trial, by namespace and name: a gauge finds it only among those of all."""


_WRONG: dict[str, ConditionStatus] = {
    ConditionType.STALLED: ConditionStatus.TRUE,
    ConditionType.PAUSED: ConditionStatus.TRUE,
    ConditionType.UNSAFE_MODEL: ConditionStatus.TRUE,
    ConditionType.DRIFT_DETECTED: ConditionStatus.TRUE,
    ConditionType.QUALITY_DECAYED: ConditionStatus.TRUE,
    ConditionType.AVAILABLE: ConditionStatus.FALSE,
    ConditionType.EVIDENCE_SUFFICIENT: ConditionStatus.FALSE,
    ConditionType.PLACED: ConditionStatus.FALSE,
    ConditionType.MEMBERS_REACHABLE: ConditionStatus.FALSE,
    ConditionType.USERS_KEPT: ConditionStatus.FALSE,
}
"""Which status of a condition is a problem. Ready and Promoted are False in every trial."""

_PROBLEMS: dict[tuple[str, str], set[Labels]] = {}


def show_problems(namespace: str, deployment: str, conditions: Iterable[Condition]) -> None:
    """Export what is wrong now. What was and is wrong is never away in between: alerts count its time."""
    now: set[Labels] = {
        (namespace, deployment, item.type, item.reason)
        for item in conditions
        if _WRONG.get(item.type) is item.status
    }
    before = _PROBLEMS.pop((namespace, deployment), set())
    for labels in before - now:
        PROBLEM.remove(*labels)
    for labels in now - before:
        PROBLEM.labels(*labels).set(1)
    if now:
        _PROBLEMS[namespace, deployment] = now


_OF_STABLE = (DRIFT, DRIFTED, DECAYED, STABLE_F1, STABLE_F1_ERROR, DECAY_LOG_E)


def show_drift(
    namespace: str, deployment: str, drift: drift.Decision, quality: decay.Decision | None
) -> None:
    """Export what is known of the version that serves; it stays when a trial is forgotten."""
    forget_drift(namespace, deployment)
    own = (namespace, deployment)
    DRIFT.labels(*own).set(_number(drift.detected))
    DRIFTED.labels(*own).set(len(drift.features))
    if quality is None:
        return
    DECAYED.labels(*own).set(_number(quality.detected))
    for source, found in (("labels", quality.labels), ("estimate", quality.estimate)):
        if found is not None:
            STABLE_F1.labels(*own, source).set(found.value)
            STABLE_F1_ERROR.labels(*own, source).set(found.error)
            DECAY_LOG_E.labels(*own, source).set(found.log_e)


def forget_drift(namespace: str, deployment: str) -> None:
    """Stop exporting what was known of a version that is not watched any more."""
    for gauge in _OF_STABLE:
        gauge.remove_by_labels({"namespace": namespace, "deployment": deployment})


def _number(known: bool | None) -> float:  # noqa: FBT001
    return math.nan if known is None else float(known)


def show(namespace: str, deployment: str, judgement: Judgement) -> None:
    """Export what the judge saw."""
    for verdict in Verdict:
        value = float(verdict.value == judgement.verdict.value)
        _set(VERDICT, (namespace, deployment, verdict.value), value)
    for metric in judgement.metrics:
        _show_metric((namespace, deployment, metric.name), metric)


def show_guards(
    namespace: str, deployment: str, guards: Iterable[Guard], readings: Iterable[GuardReading]
) -> None:
    """Export what the guards read."""
    _drop((GUARD, GUARD_LIMIT), (namespace, deployment))  # members come and go
    for guard in guards:
        for side, limit in (("max", guard.max_), ("min", guard.min_)):
            if limit is not None:
                _set(GUARD_LIMIT, (namespace, deployment, guard.name, side), fraction(limit))
    for reading in readings:
        labels = (namespace, deployment, reading.guard, reading.member)
        _set(GUARD, labels, math.nan if reading.value is None else reading.value)


def forget(namespace: str, deployment: str) -> None:
    """Stop exporting a trial that is over."""
    for gauge, labels in _SHOWN.pop((namespace, deployment), ()):
        gauge.remove(*labels)


def _show_metric(labels: tuple[str, str, str], metric: MetricJudgement) -> None:
    _drop((LOG_E, LIMIT), labels)  # a test that is not asked any more has no evidence
    for gauge, where, value in (
        (VALUE, "stable", metric.stable),
        (VALUE, "canary", metric.canary),
        (BOUND, "lower", metric.lower),
        (BOUND, "upper", metric.upper),
        (LOG_E, "promote", metric.log_e_promote),
        (LOG_E, "rollback", metric.log_e_rollback),
        (LIMIT, "promote", metric.limit_promote),
        (LIMIT, "rollback", metric.limit_rollback),
        (LABELS, "stable", metric.labels_stable),
        (LABELS, "canary", metric.labels_canary),
    ):
        _set(gauge, (*labels, where), math.nan if value is None else value)
    for test in metric.others:
        where = f"member/{test.of}" if test.name == "member" else test.name
        _set(LOG_E, (*labels, where), test.log_e)
        _set(LIMIT, (*labels, where), test.limit)
    _set(DIFFERENCE, labels, math.nan if metric.difference is None else metric.difference)


def _set(gauge: Gauge, labels: Labels, value: float) -> None:
    gauge.labels(*labels).set(value)
    _SHOWN.setdefault((labels[0], labels[1]), set()).add((gauge, labels))


def _drop(gauges: tuple[Gauge, ...], prefix: Labels) -> None:
    """Take away what `gauges` show with labels that begin so."""
    shown = _SHOWN.get((prefix[0], prefix[1]), set())
    for gauge, labels in tuple(shown):
        if gauge in gauges and labels[: len(prefix)] == prefix:
            gauge.remove(*labels)
            shown.discard((gauge, labels))
