"""What a Kubernetes version means for a member."""

from pathlib import Path

import pytest
import yaml

from assay.members.version import OLDEST, too_old

CHART = Path(__file__).parents[4] / "charts/assay/Chart.yaml"


@pytest.mark.parametrize(
    "version", ["v1.30.0", "v1.35.4-eks-1de2f", "1.99", "v2.0.0", "v1.31.2+k3s1", "", "weekly"]
)
def test_new_and_unknown_ones_are_fine(version: str) -> None:
    assert too_old(version) is None


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("v1.29.14", "older than 1.30: nobody has tried it"),
        ("v1.24.0-gke.1", "it lacks rules in CustomResourceDefinitions"),
        ("v1.9.11", "it lacks server-side apply, by which everything is written and rules"),
    ],
)
def test_old_ones_say_what_they_lack(version: str, why: str) -> None:
    assert why in (too_old(version) or "")


def test_the_chart_says_the_same() -> None:
    oldest = ".".join(str(part) for part in OLDEST)
    assert yaml.safe_load(CHART.read_text())["kubeVersion"] == f">={oldest}.0-0"
