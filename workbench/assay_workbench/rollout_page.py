"""A rollout as one page that needs nothing else. Drawn from the document of `assay report` alone."""

from collections.abc import Mapping
from typing import Any

from assay.judge.wording import count, percent
from assay_workbench import rollout_plots
from assay_workbench.html import rendered, time
from assay_workbench.rollout_plots import MOST_CLASSES, looks_at

MOST_CELLS = 16
"""Classes of a confusion matrix that a page can show."""

_GOOD = {"Promote": "Better", "Rollback": "Worse"}


def page(document: Mapping[str, Any]) -> str:
    """Return the page.

    Parameters
    ----------
    document
        Of the format ``assay.dev/rollout-report/v1`` (docs/report.md).
    """
    return rendered(
        "rollout.html.j2",
        document=document,
        rollout=document["rollout"],
        tiles=_tiles(document),
        evidence=list(rollout_plots.evidence(document)),
        looks=[(metric["name"], _rows(document, metric)) for metric in document["metrics"]],
        curves=list(rollout_plots.curves(document)),
        areas=[
            (
                each["class"],
                count(each["rows"]),
                *(
                    f"{each[arm][name]:.4f}"
                    for name in ("rocAuc", "averagePrecision")
                    for arm in ("stable", "canary")
                ),
            )
            for each in document["curves"]
        ],
        more_classes=len(document["curves"]) > MOST_CLASSES,
        matrices=_matrices(document["confusion"]),
        members=[_member(each) for each in document["members"]],
        confidence=percent(float(document["rollout"]["settings"]["analysis"]["confidence"])),
    )


def _tiles(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return name, value and what is to be known of it, of what stands on top."""
    found = []
    for metric in document["metrics"]:
        looks = looks_at(document, metric["name"])
        last = looks[-1][1] if looks else None
        if last is not None and last["difference"] is not None:
            band = f"band {last['lower']:+.4f} .. {last['upper']:+.4f}"
            found.append((f"{metric['name']}: difference", f"{last['difference']:+.4f}", band))
    if document["evidence"] and document["evidence"][-1]["metrics"]:
        labels = document["evidence"][-1]["metrics"][0]["labels"]
        found.append(("labels of the canary", count(labels["canary"]), "that came back"))
        found.append(("labels of stable", count(labels["stable"]), "that came back"))
    steps = document["rollout"]["steps"]
    if steps:
        found.append(
            ("last step", f"{steps[-1]['weight']} %", f"of the traffic; {len(steps)} steps taken")
        )
    return found


def _rows(document: Mapping[str, Any], metric: Mapping[str, Any]) -> list[tuple[list[str], str]]:
    """Return the cells of each look at a metric, and the class of its verdict."""
    at = {look["seconds"]: look["at"] for look in document["evidence"]}
    return [
        (
            [
                time(at[seconds]),
                _number(each["stable"]),
                _number(each["canary"]),
                _signed(each["difference"]),
                f"{_signed(each['lower'])} .. {_signed(each['upper'])}"
                if each["lower"] is not None
                else "-",
                count(each["labels"]["stable"]),
                count(each["labels"]["canary"]),
                f"{each['verdict']} ({each['reason']})",
            ],
            _GOOD.get(each["verdict"], ""),
        )
        for seconds, each in looks_at(document, metric["name"])
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def _matrices(
    confusion: Mapping[str, Any],
) -> list[tuple[str, list[tuple[str, list[tuple[str, float]]]]]]:
    """Return the rows of each arm's matrix: count, and the part of the true class's rows."""
    classes = confusion["classes"]
    if not classes or len(classes) > MOST_CELLS:
        return []
    return [
        (
            arm,
            [
                (name, [(count(rows), round(rows / max(1, sum(row)), 3)) for rows in row])
                for name, row in zip(classes, confusion[arm], strict=True)
            ],
        )
        for arm in ("stable", "canary")
    ]


def _member(each: Mapping[str, Any]) -> list[str]:
    """Return the cells of a member's row."""
    labels = each["labels"]
    pods = "-" if each["ready"] is None else f"{each['ready']} of {each['desired']}"
    return [
        each["name"],
        "-" if each["weight"] is None else f"{each['weight']} %",
        pods,
        "-" if labels is None else f"{count(labels['stable'])} / {count(labels['canary'])}",
        _evidence_words(each["evidence"]),
        _state_words(each),
    ]


def _evidence_words(evidence: Mapping[str, Any] | None) -> str:
    if evidence is None:
        return "not asked for"
    if evidence["problem"]:
        return f"missing: {evidence['problem']}"
    return f"read; {evidence['read']} of {evidence['moments']} earlier moments"


def _state_words(each: Mapping[str, Any]) -> str:
    if not each["inStatus"]:
        return "has no part in the ModelDeployment now"
    unreachable = [] if each["reachable"] else ["unreachable"]
    return ": ".join([*unreachable, *filter(None, [each["message"]])])
