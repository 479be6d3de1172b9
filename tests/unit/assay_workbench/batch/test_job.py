"""The Job of the examples: restricted pods, and a command line that does all of the work once."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
import yaml
from sklearn.linear_model import LogisticRegression

FILE = Path(__file__).parents[4] / "examples/batch/job.yaml"


@pytest.fixture
def job():
    return yaml.safe_load(FILE.read_text())


def test_an_indexed_job_whose_numbers_agree(job):
    spec = job["spec"]
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert spec["completionMode"] == "Indexed"
    (container,) = spec["template"]["spec"]["containers"]
    assert f"--shards={spec['completions']}" in container["args"]
    # What Kubernetes asks of backoffLimitPerIndex and of a podFailurePolicy.
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["containerName"] == container["name"]


def test_pods_are_restricted_and_have_no_token(job):
    """The Pod Security Standard `restricted`, field by field."""
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert {next(iter(set(each) - {"name"})) for each in pod["volumes"]} == {
        "persistentVolumeClaim"
    }
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    mounts = {each["name"]: each for each in pod["containers"][0]["volumeMounts"]}
    assert mounts.keys() == {each["name"] for each in pod["volumes"]}
    assert mounts["rows"]["readOnly"]


def test_the_pods_together_score_every_row_once(job, score, output, tmp_path):
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"amount": random.random(2000), "age": random.random(2000)})
    labels = (rows["amount"] + random.normal(0, 0.3, 2000) > 0.7).astype(int)
    model = LogisticRegression().fit(rows, labels)
    (tmp_path / "rows/march").mkdir(parents=True)
    skops.io.dump(model, tmp_path / "rows/fraud-8.skops")
    table = rows.assign(order=np.arange(2000), fraud=labels)
    table[:1200].to_parquet(tmp_path / "rows/march/1.parquet")
    table[1200:].to_parquet(tmp_path / "rows/march/2.parquet")
    args = job["spec"]["template"]["spec"]["containers"][0]["args"]
    words = [
        word.replace("/rows/", f"{tmp_path}/rows/")
        .replace("=/scores/", f"={tmp_path}/scores/")
        .replace("=100000", "=150")
        for word in args
    ]
    for index in range(job["spec"]["completions"]):
        score(*words[1:], env={"JOB_COMPLETION_INDEX": str(index)})
    found = output(tmp_path / "scores/march-8")
    assert (found["order"] == table["order"]).all()
    assert (found["label"].astype(int) == labels).all()
    np.testing.assert_allclose(found["score_1"], model.predict_proba(rows)[:, 1], atol=1e-12)
