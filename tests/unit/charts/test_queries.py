"""Alerts and dashboards against what the code can export, say and document."""

import pathlib
import re

import pytest

from assay.controller import metrics
from assay.evidence import errors
from assay.judge import reasons
from assay_server.ledger.entries import Status
from tests.queries import ELSEWHERE, alerts, grouped, queries, selectors

ROOT = pathlib.Path(__file__).parents[3]
TARGET = {"namespace", "pod", "instance", "job", "exported_namespace", "le"}


def exported() -> dict[str, set[str]]:
    """Labels of every series of the operator, by name."""
    found = {}
    for collector in metrics.REGISTRY._collector_to_names:
        for name in metrics.REGISTRY._collector_to_names[collector]:
            found[name] = {*collector._labelnames, *TARGET}  # type: ignore[attr-defined]
    return found


def documented() -> dict[str, str]:
    """The rows of model-server/README.md that describe metrics, by name."""
    text = (ROOT / "model-server/README.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `assay_")]
    return {name: row for row in rows for name in re.findall(r"`(assay_\w+)`", row)}


def stem(name: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", name)


@pytest.mark.parametrize(("where", "query"), queries().items(), ids=queries().keys())
def test_what_a_query_asks_for_is_exported(where: str, query: str) -> None:
    """By the operator as its code says; by server and ledger as documented, and in tests/e2e as scraped."""
    ours, theirs = exported(), documented()
    found = list(selectors(query))
    assert found, "a query about nothing"
    for name, labels in found:
        if name in ELSEWHERE:
            continue
        if name in ours:
            assert labels | grouped(query) <= ours[name]
        else:
            assert stem(name) in theirs, name


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    page = (ROOT / "docs/runbooks.md").read_text()
    headings = re.findall(r"^## (Assay\w+)$", page, re.MULTILINE)
    assert headings == [alert["alert"] for alert in alerts()]
    for alert in alerts():
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{alert['alert'].lower()}"
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
        assert alert["labels"].keys() == {"severity"}


def test_reasons_and_results_in_alerts_are_real() -> None:
    known = {
        value
        for module in (errors, reasons)
        for value in vars(module).values()
        if isinstance(value, str)
    } | {status.value for status in Status}
    asked = {
        word
        for alert in alerts()
        for pattern in re.findall(r'(?:reason|result)=~"([^"]*)"', alert["expr"])
        for word in pattern.split("|")
    }
    assert asked
    assert asked <= known
    conditions = {
        word for alert in alerts() for word in re.findall(r'condition="(\w+)"', alert["expr"])
    }
    assert conditions <= set(metrics._WRONG)
