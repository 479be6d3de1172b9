"""The queries of the chart's alerts and dashboards, and what they presume of metrics."""

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
import yaml

FILES = pathlib.Path(__file__).parents[1] / "charts" / "assay" / "files"
ELSEWHERE = {"kube_lease_renew_time"}
"""Of kube-state-metrics."""
_SELECTED = re.compile(r'=~"\$\w+"')


def alerts() -> list[dict[str, Any]]:
    """Every alert of both rule files."""
    files = [yaml.safe_load(path.read_text()) for path in sorted(FILES.glob("rules/*.yaml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def queries() -> dict[str, str]:
    """Every query by where it stands; a dashboard's variables select all."""
    found = {alert["alert"]: alert["expr"] for alert in alerts()}
    for path in sorted(FILES.glob("dashboards/*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                where = f"{path.stem}: {panel['title']} {target['refId']}"
                found[where] = _SELECTED.sub('=~".*"', target["expr"])
    return found


def selectors(query: str) -> Iterator[tuple[str, set[str]]]:
    """Name and matched labels of every selector in a query. Raises ValueError if it is not PromQL."""
    promql.parse(query)
    for name, matchers in re.findall(r"\b((?:assay|kube)_\w+)\b(?:\{([^}]*)\})?", query):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', matchers)))


def grouped(query: str) -> set[str]:
    """Labels that a query groups by."""
    lists = re.findall(r"\b(?:by|on|without) \(([^)]*)\)", query)
    return {word.strip() for words in lists for word in words.split(",")}
