"""`assay plan FILE --clusters FILE`: what a placement and its trial cost, before either is there."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from assay.cli.plan import plan_command

EXAMPLES = Path(__file__).parents[4] / "examples"
AWS, GCP = (EXAMPLES / f"placement/{name}.yaml" for name in ("modelcluster", "modelcluster-gcp"))
DEPLOYMENT = EXAMPLES / "placement/modeldeployment.yaml"
WORDS = (
    *("--prevalence", "0.1", "--baseline", "f1=0.8", "--baseline", "auc=0.95"),
    *("--label-rate", "5"),
)


def call(*words: str | Path, text: str | None = None) -> Result:
    return CliRunner().invoke(plan_command, [str(each) for each in words], input=text)


def plan(*clusters: str | Path, **spec: Any) -> dict[str, Any]:
    """The field `cost` for the example with fields of its spec replaced."""
    document = yaml.safe_load(DEPLOYMENT.read_text())
    document["spec"] |= spec
    options = [each for file in clusters for each in ("--clusters", file)]
    result = call("-", *WORDS, *options, "-o", "json", text=json.dumps(document))
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)["cost"]
    return found


def written(tmp_path: Path, *changes: dict[str, Any]) -> Path:
    """A list as `kubectl get modelclusters -o yaml` prints it: the example with fields replaced."""
    items = []
    for change in changes:
        document = yaml.safe_load(GCP.read_text())
        document["metadata"]["name"] = change.pop("name", "gcp-frankfurt")
        document["metadata"]["labels"] = change.pop("labels", {"tier": "serving"})
        document["spec"] |= change
        items.append(document)
    file = tmp_path / "clusters.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items}))
    return file


def test_the_example_says_what_it_costs() -> None:
    result = call(DEPLOYMENT, *WORDS, "--clusters", AWS, "--clusters", GCP)
    assert result.exit_code == 0
    placed, month, trial = result.stdout.splitlines()[-3:]
    assert placed == "Placement: 8 replicas: aws-frankfurt 2; gcp-frankfurt 6."
    # 2 spot pods at 0.009 and 6 ordinary ones at 0.027, for 730 hours.
    assert month == "Cost per month: 131.40 (aws-frankfurt 13.14; gcp-frankfurt 118.26)."
    assert trial == (
        "Cost of the trial: 0.012 at the shortest (promoted after 17 min); 0.37 typically (promoted "
        "after 4.2 h); 2.15 at the longest (no verdict after 24 h)."
    )
    page = (EXAMPLES.parent / "docs/placement.md").read_text()
    assert f"{placed}\n{month}\n{trial}\n" in page


def test_json_has_every_part_of_it() -> None:
    found = plan(AWS, GCP)
    assert list(found) == [
        "replicas", "unplaced", "perHour", "perMonth", "perMonthAtMinReplicas", "trial",
    ]  # fmt: skip
    assert found["replicas"] == {"aws-frankfurt": 2, "gcp-frankfurt": 6}
    assert (found["unplaced"], found["perMonthAtMinReplicas"]) == (None, None)
    assert found["perHour"] == {
        "total": "0.18",
        "members": {"aws-frankfurt": "0.018", "gcp-frankfurt": "0.162"},
        "unpriced": [],
    }
    assert list(found["trial"]) == ["shortest", "typical", "longest"]
    assert list(found["trial"]["longest"]) == [
        "seconds", "verdict", "total", "members", "unpriced",
    ]  # fmt: skip
    assert [item["verdict"] for item in found["trial"].values()] == [
        "Promote", "Promote", "Rollback",
    ]  # fmt: skip


def test_the_longest_trial_is_the_canary_until_max_seconds() -> None:
    steps = {"canary": {"steps": [{"weight": 50}]}, "maxSeconds": 7200}
    found = plan(AWS, GCP, rollout=steps)["trial"]
    # 1 pod of 2 and 3 of 6, for two hours and the 30 s for which they stay.
    seconds = 7200 + 30
    assert found["longest"]["seconds"] == 7200
    assert float(found["longest"]["members"]["aws-frankfurt"]) == pytest.approx(
        0.009 * seconds / 3600, abs=1e-9
    )
    assert float(found["longest"]["members"]["gcp-frankfurt"]) == pytest.approx(
        3 * 0.027 * seconds / 3600, abs=1e-9
    )
    assert found["typical"]["seconds"] <= 7200
    assert found["shortest"]["seconds"] < found["typical"]["seconds"]


def test_a_trial_that_cannot_end_in_time_costs_what_it_may_take() -> None:
    found = plan(AWS, GCP, rollout={"maxSeconds": 60})["trial"]
    assert found["typical"] == found["longest"]
    assert found["typical"]["verdict"] == "Rollback"


def test_a_member_without_a_price_is_named(tmp_path: Path) -> None:
    found = plan(AWS, written(tmp_path, {"cost": None}))
    assert found["perMonth"]["unpriced"] == ["gcp-frankfurt"]
    assert found["perMonth"]["total"] == "13.14"
    text = call(DEPLOYMENT, *WORDS, "--clusters", AWS, "--clusters", tmp_path / "clusters.yaml")
    assert "Cost per month: 13.14 (no price for gcp-frankfurt)." in text.stdout
    alone = call(DEPLOYMENT, *WORDS, "--clusters", tmp_path / "clusters.yaml")
    assert "Cost per month: unknown (no price for gcp-frankfurt)." in alone.stdout


def test_what_has_no_place_is_said(tmp_path: Path) -> None:
    found = plan(AWS, written(tmp_path, {"capacity": {"replicas": 4}}))
    assert found["replicas"] == {"aws-frankfurt": 2, "gcp-frankfurt": 2}
    assert "8 replicas wanted, members allow 4" in found["unplaced"]
    text = call(DEPLOYMENT, *WORDS, "--clusters", AWS)
    assert "Not as asked: " in text.stdout


def test_pods_that_follow_the_load_cost_from_so_much_to_so_much() -> None:
    load = {"autoscaling": {"minReplicas": 2, "maxReplicas": 8}}
    found = plan(GCP, serving=load, placement={})
    assert found["perMonth"]["total"] == "157.68"
    assert found["perMonthAtMinReplicas"]["total"] == "39.42"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ([{"cost": {"perReplicaHour": 0.03}}], "ModelCluster gcp-frankfurt: spec.cost.perReplicaHour"),
        ([{"cost": {"perReplicaHour": "-1"}}], "ModelCluster gcp-frankfurt: spec.cost.perReplicaHour"),
        ([{}, {}], "ModelCluster gcp-frankfurt is there twice; give each once"),
        ([{"name": ""}], "metadata.name: must be a text"),
        ([{"labels": ["tier"]}], "ModelCluster gcp-frankfurt: metadata.labels: must be an object, not a list"),
        ([], "holds no ModelCluster of assay.dev/v1alpha1"),
    ],
    ids=["a number", "negative", "twice", "no name", "labels", "none"],
)  # fmt: skip
def test_what_is_wrong_with_a_manifest_is_said(
    tmp_path: Path, changes: list[dict[str, Any]], problem: str
) -> None:
    result = call(DEPLOYMENT, *WORDS, "--clusters", written(tmp_path, *changes))
    assert result.exit_code == 2
    assert f"{tmp_path}/clusters.yaml: {problem}" in result.output


def test_a_plan_question_has_no_placement() -> None:
    result = call(EXAMPLES / "plan.json", "--clusters", AWS)
    assert result.exit_code == 2
    assert "--clusters: goes with a ModelDeployment; FILE is a plan question" in result.output


def test_a_file_that_is_not_there() -> None:
    result = call(DEPLOYMENT, *WORDS, "--clusters", "nowhere.yaml")
    assert result.exit_code == 2
    assert "nowhere.yaml: No such file or directory" in result.output
