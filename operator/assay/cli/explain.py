"""``kubectl assay explain NAME``: why a rollout ended as it did, or has not ended, in plain words."""

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from assay.api.analysis import Metric, Mode
from assay.api.conditions import Condition
from assay.api.deployment_status import AnalysisStatus, ModelDeploymentStatus, Stage, Verdict
from assay.judge.wording import count, duration
from assay.rollout.guards import KEPT
from assay.rollout.wording import moment, sentences

from .bars import less_is_better, metric_named
from .deadlines import deadlines
from .document import output_option, show_document
from .explain_words import ENDS, HOLDS, STALLED
from .hub import Hub, hub_options, status_of
from .report_log import stamp
from .report_rollout import Subject, subject
from .report_words import WHY, by_evidence
from .screen import show


@click.command("explain", short_help="Why a version was promoted or rolled back, in plain words.")
@output_option
@hub_options
@click.argument("which", metavar="[VERSION|REVISION|ROLLOUT]", required=False)
def explain_command(
    name: str,
    which: str | None,
    namespace: str | None,
    context: str | None,
    kubeconfig: Path | None,
    output: str,
) -> None:
    """Explain the rollout that is under way, or the last one; or one of history that you name.

    It says what was decided and why, what was measured, what serves now and what to do. The rights of
    a viewer are enough. Numbers of metrics are those of the present or last rollout; of earlier ones
    the decision's own message has them.

    \b
    kubectl assay explain fraud -n ml        the present rollout, or the last
    kubectl assay explain fraud 8 -n ml      why version 8 was rolled back

    With -o json or yaml the shape is stable:

    \b
    {"namespace", "name", "rollout", "version", "revision", "stage",
     "verdict", "reason": null while nothing is decided, "at", "by", "requestReason",
     "headline", "why": [text], "measured": [{"metric", "says"}], "now": [text], "todo": [text]}
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    hub = Hub(name, namespace, context, kubeconfig)
    document, status = hub.read()
    if status.rollout is None and not status.history:
        raise click.ClickException(sentences("there has been no rollout yet", *_stalled(status)))
    told = explanation(document, chosen(status, which), datetime.datetime.now(datetime.UTC))
    if output == "text":
        console = Console(highlight=False)
        for part in told.parts():
            show(console, part)
    else:
        show_document({"namespace": hub.namespace, "name": name, **told.document()}, output)


def _stalled(status: ModelDeploymentStatus) -> Iterator[str]:
    """Say why the spec is not carried out although nothing is on trial, and what to do."""
    known = {item.type: item for item in status.conditions}
    if (stalled := known.get("Stalled")) is not None and stalled.reason in STALLED:
        yield f"{stalled.reason}: {stalled.message}"
        yield STALLED[stalled.reason]


def chosen(status: ModelDeploymentStatus, which: str | None) -> str | None:
    """Return the id of the rollout that is meant: the newest of a version or revision."""
    if which is None:
        return None
    if status.rollout is not None:
        canary = status.canary
        names = {status.rollout.id}
        if canary is not None and status.rollout.stage is not Stage.DONE:
            names |= {canary.revision, canary.version}
        if which in names:
            return status.rollout.id
    for entry in status.history:
        if which in {entry.id, entry.revision, entry.version}:
            return entry.id
    known = ", ".join(dict.fromkeys(entry.version for entry in status.history)) or "none"
    raise click.ClickException(
        f"there has been no rollout {which}; versions in history: {known} (older ones go by "
        "revisionHistoryLimit)"
    )


@dataclass(frozen=True)
class Explanation:
    """Why, in parts.

    Attributes
    ----------
    headline
        What became of it.
    why
        What decided, or what is missing.
    measured
        What each metric says, by name.
    now, todo
        What serves, and what a person can do.
    """

    subject: Subject
    headline: str
    why: tuple[str, ...]
    measured: tuple[tuple[str, str], ...]
    now: tuple[str, ...]
    todo: tuple[str, ...]

    def parts(self) -> Iterator[Text | Padding]:
        """Return what people read."""
        yield Text(self.headline, style="bold")
        measured = tuple(f"{name}: {says}" for name, says in self.measured)
        for title, texts in (
            ("why", self.why),
            ("what was measured", measured),
            ("now", self.now),
            ("what to do", self.todo),
        ):
            if texts:
                yield Text(f"\n{title}", style="bold")
            for text in texts:
                yield Padding(Text(text), (0, 0, 0, 2))

    def document(self) -> dict[str, Any]:
        """Return plain values."""
        about, decision = self.subject, self.subject.decision
        return {
            "rollout": about.id,
            "version": about.version,
            "revision": about.canary,
            "stage": (about.kept.stage if about.kept else Stage.DONE).value,
            "verdict": decision and decision.verdict.value,
            "reason": decision and decision.reason,
            "at": decision and stamp(decision.at),
            "by": decision and decision.by,
            "requestReason": decision and decision.request_reason,
            "headline": self.headline,
            "why": list(self.why),
            "measured": [{"metric": name, "says": says} for name, says in self.measured],
            "now": list(self.now),
            "todo": list(self.todo),
        }


def explanation(
    document: Mapping[str, Any], rollout: str | None, now: datetime.datetime
) -> Explanation:
    """Explain a rollout of a ModelDeployment.

    Parameters
    ----------
    rollout
        Its id; None for the one under way or the last.

    Raises
    ------
    click.ClickException
        If there is no such rollout, or the object cannot be read.
    """
    about, status = subject(document, rollout), status_of(dict(document))
    known = {item.type: item for item in status.conditions}
    running = about.kept is not None and about.kept.stage is not Stage.DONE
    why = tuple(_why_ended(about) if about.decision else _why_not(about, known, now))
    return Explanation(
        about,
        _headline(about, now),
        why,
        tuple(_measured(about, status)) if about.kept is not None else (),
        tuple(_now(status, known, running=running)),
        tuple(_todo(about, known, running=running)),
    )


def _headline(about: Subject, now: datetime.datetime) -> str:
    who, decision = f"Version {about.version}", about.decision
    if decision is None:
        took = duration(max(0.0, (now - about.started_at).total_seconds()))
        starting = about.kept is not None and about.kept.stage is Stage.STARTING
        does = "is starting" if starting else "is on trial"
        return f"{who} {does} since {moment(about.started_at)} ({took}); nothing is decided yet."
    took = duration(max(0.0, (decision.at - about.started_at).total_seconds()))
    done = {
        Verdict.PROMOTE: "was promoted",
        Verdict.ROLLBACK: "was rolled back",
        Verdict.HOLD: "was given up",
    }[decision.verdict]
    by = f" by {decision.by}" if decision.by else ""
    return f"{who} {done}{by} at {moment(decision.at)}, {took} after it began ({decision.reason})."


def _why_ended(about: Subject) -> Iterator[str]:
    decision = about.decision
    if decision is None:
        return
    if (words := WHY.get(decision.reason)) is not None:
        yield sentences(words[0].upper() + words[1:])
    if decision.message:
        yield sentences(decision.message)
    if decision.request_reason:
        yield f"In their words: {decision.request_reason}"


def _why_not(
    about: Subject, known: Mapping[str, Condition], now: datetime.datetime
) -> Iterator[str]:
    """Say what a rollout that is under way waits for."""
    ready, evidence = known.get("Ready"), known.get("EvidenceSufficient")
    stage = about.kept.stage if about.kept else None
    if stage is Stage.STARTING and ready is not None:
        yield sentences(ready.message)
    if (paused := known.get("Paused")) is not None:
        yield sentences(paused.message)
    if stage is Stage.TRIAL and evidence is not None:
        if (advice := HOLDS.get(evidence.reason)) is not None:
            yield f"{evidence.reason}: {advice.means}"
        yield sentences(evidence.message)
    for guard in about.status.guards:
        if guard.reason != KEPT:
            yield sentences(f"Guard {guard.name} in {guard.member}: {guard.message}")
    for each in deadlines(about.spec, about.status, now):
        yield f"Time left: {each.words()}"


def _measured(about: Subject, status: ModelDeploymentStatus) -> Iterator[tuple[str, str]]:
    """Say what each metric says, if status speaks of this rollout."""
    settings = about.settings.analysis
    for item in status.analysis:
        metric = metric_named(item.metric, settings.metrics)
        if metric is not None:
            yield item.metric, _plain(item, metric, settings.confidence)


def _plain(item: AnalysisStatus, metric: Metric, confidence: str) -> str:
    """Say in plain words what the numbers of a metric mean.

    The band is that of the judge's tests at that moment; which of them decided, the message says.
    """
    if item.difference is None or item.lower is None or item.upper is None:
        return sentences(item.message or item.reason)
    sign = -1.0 if less_is_better(metric) else 1.0
    difference = sign * float(item.difference)
    worst, best = sorted((sign * float(item.lower), sign * float(item.upper)))
    margin = float(metric.margin)
    side = "worse" if difference < 0 else "better"
    sure = f"{float(confidence) * 100:g} %"
    if best < 0:
        bounds = f"with {sure} confidence it is worse, by {-best:.4f} at the least and {-worst:.4f} at the most"
    elif worst > 0:
        bounds = f"with {sure} confidence it is better, by {worst:.4f} at the least and {best:.4f} at the most"
    else:
        bounds = f"with {sure} confidence it lies between {-worst:.4f} worse and {best:.4f} better"
    allowed = f"; you allow {metric.margin}"
    if worst > 0:
        allowed = ""
    elif worst > -margin:
        allowed += ", and it is within that"
    elif best < -margin:
        allowed += ", and it is beyond that"
    else:
        allowed += ", and both is possible yet"
    dry = "; a dry run, which decides nothing" if item.mode is Mode.DRY_RUN else ""
    return sentences(
        f"the canary has {item.canary} and stable {item.stable}, so it measures {abs(difference):.4f} {side}",
        f"{bounds[0].upper()}{bounds[1:]}{allowed}{dry}",
        f"{count(item.labels_canary)} labels of the canary and {count(item.labels_stable)} of stable",
    )


def _now(
    status: ModelDeploymentStatus, known: Mapping[str, Condition], *, running: bool
) -> Iterator[str]:
    available = known.get("Available")
    if available is not None:
        yield sentences(f"Available is {available.status.value}: {available.message}")
    if running and status.canary is not None:
        rest = ", ".join(f"{each.name} {each.weight} %" for each in status.clusters if each.weight)
        yield sentences(
            f"Version {status.canary.version} gets {rest} of the traffic"
            if rest
            else f"Version {status.canary.version} gets no traffic"
        )
    reachable = known.get("MembersReachable")
    if reachable is not None and reachable.status.value == "False":
        yield sentences(reachable.message)
    yield from map(sentences, _stalled(status))


def _todo(
    about: Subject,
    known: Mapping[str, Condition],
    *,
    running: bool,
) -> Iterator[str]:
    ready, evidence = known.get("Ready"), known.get("EvidenceSufficient")
    wanted = running or "Stalled" in known
    if running and about.decision is None:
        advice = HOLDS.get(evidence.reason) if evidence is not None else None
        if advice is not None and advice.do:
            yield advice.do
        yield (
            f"kubectl assay abort {about.name} -n {about.namespace} ends it now; pause holds it without a deadline."
        )
    elif about.decision is not None and about.decision.verdict is not Verdict.PROMOTE:
        still = ready is not None and about.canary in ready.message
        if wanted and still and (words := ENDS.get(about.decision.reason)):
            yield words
    if about.decision is not None and by_evidence(about.decision):
        yield (
            f"kubectl assay report {about.name} -n {about.namespace} --rollout {about.id} draws the evidence "
            "over time."
        )
