"""The Job of examples/batch in a cluster: one of its pods is killed, and each row is scored once."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
import yaml
from sklearn.linear_model import LogisticRegression

from demo.artifacts import ArtifactServer
from fleet import Cluster, Fleet
from fleet.processes import CommandError

pytestmark = pytest.mark.cluster

FILE = Path(__file__).parents[2] / "examples/batch/job.yaml"
NAMESPACE = "batch"
INDEX = "batch.kubernetes.io/job-completion-index"
IMAGE = "localhost/assay-workbench:dev"
COLUMNS = [f"x{place}" for place in range(8)]
ROWS = 80_000
ROWS_PER_SHARD = 250

FETCH = """
import sys, urllib.request, pathlib
pathlib.Path("/rows/march").mkdir()
for name in ("fraud-8.skops", "march/1.parquet", "march/2.parquet"):
    urllib.request.urlretrieve(f"{sys.argv[1]}/{name.rpartition('/')[2]}", f"/rows/{name}")
"""
KILL = """
import os, pathlib, signal, time
while not pathlib.Path("/scores/march-8/part-00000.parquet").exists():
    time.sleep(0.001)
for process in pathlib.Path("/proc").glob("[0-9]*"):
    if b"assay\\0score\\0" in (process / "cmdline").read_bytes():
        os.kill(int(process.name), signal.SIGKILL)
"""
READ = """
import json, pathlib, pyarrow.parquet
parts = sorted(pathlib.Path("/scores/march-8").iterdir())
tables = [pyarrow.parquet.read_table(part).to_pydict() for part in parts]
columns = {name: sum((table[name] for table in tables), []) for name in ("order", "label", "score_1")}
print(json.dumps({"files": [part.name for part in parts], **columns}))
"""


@pytest.fixture
def east(local_fleet: Fleet) -> Iterator[Cluster]:
    """A cluster with a namespace that admits restricted pods only, and the two claims of the Job."""
    cluster = local_fleet.clusters["east"]
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    documents: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    ]
    documents += [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "100Mi"}},
            },
        }
        for name in ("rows", "scores")
    ]
    for document in documents:
        apply(cluster, document)
    yield cluster
    cluster.kubectl("delete", "namespace", NAMESPACE)


def apply(cluster: Cluster, document: dict[str, Any]) -> None:
    cluster.kubectl("apply", "-f", "-", input=json.dumps(document))


def the_job() -> dict[str, Any]:
    """The example, with the fleet's image and parts so small that a share has many of them.

    The processes of a pod see each other, so that one can kill the other.
    """
    job: dict[str, Any] = yaml.safe_load(FILE.read_text())
    job["metadata"]["namespace"] = NAMESPACE
    job["spec"]["template"]["spec"]["shareProcessNamespace"] = True
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["image"] = IMAGE
    container["args"] = [
        word.replace("=100000", f"={ROWS_PER_SHARD}") for word in container["args"]
    ]
    return job


def the_desk() -> dict[str, Any]:
    """A pod as restricted as those of the Job, to lay things on its volumes and read them."""
    pod = the_job()["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    container |= {"command": ["/opt/assay/bin/python3", "-c", "import signal; signal.pause()"]}
    container |= {"args": [], "resources": {}}
    pod["terminationGracePeriodSeconds"] = 0
    for volume in pod["volumes"]:
        volume["persistentVolumeClaim"].pop("readOnly", None)
    for mount in container["volumeMounts"]:
        mount.pop("readOnly", None)
    metadata = {"name": "desk", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}


def test_a_killed_pod_goes_on_and_each_row_is_scored_once(
    east: Cluster, store: ArtifactServer
) -> None:
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.random((ROWS, len(COLUMNS))), columns=COLUMNS)
    labels = (rows["x0"] + random.normal(0, 0.3, ROWS) > 0.7).astype(int)
    model = LogisticRegression().fit(rows, labels)
    skops.io.dump(model, store.directory / "fraud-8.skops")
    table = rows.assign(order=np.arange(ROWS), fraud=labels)
    table[: ROWS // 3].to_parquet(store.directory / "1.parquet")
    table[ROWS // 3 :].to_parquet(store.directory / "2.parquet")

    def kubectl(*words: str) -> str:
        return east.kubectl("-n", NAMESPACE, *words)

    def desk(program: str, *words: str) -> str:
        return kubectl("exec", "desk", "--", "/opt/assay/bin/python3", "-c", program, *words)

    def pods() -> dict[tuple[str, str], str]:
        """Return names of the Job's pods, by index and phase."""
        words = ("pods", "--selector=job-name=score-march", "-o=json")
        return {
            (pod["metadata"]["annotations"][INDEX], pod["status"]["phase"]): pod["metadata"]["name"]
            for pod in json.loads(kubectl("get", *words))["items"]
        }

    apply(east, the_desk())
    kubectl("wait", "--for=condition=Ready", "--timeout=120s", "pod/desk")
    desk(FETCH, store.url)
    apply(east, the_job())
    while ("0", "Running") not in pods():
        time.sleep(0.1)
    victim = pods()["0", "Running"]
    with contextlib.suppress(CommandError):  # it may be gone with its victim before it can say so
        kubectl("exec", victim, "--", "/opt/assay/bin/python3", "-c", KILL)

    kubectl("wait", "--for=condition=Complete", "--timeout=180s", "job/score-march")
    ended = pods()
    assert sorted(ended) == [("0", "Failed"), *((str(index), "Succeeded") for index in range(4))]
    assert ended["0", "Failed"] == victim
    assert " were there: /scores/march-8" in kubectl("logs", ended["0", "Succeeded"])

    found = json.loads(desk(READ))
    shards = -(-(ROWS // 3) // ROWS_PER_SHARD) + -(-(ROWS - ROWS // 3) // ROWS_PER_SHARD)
    assert found["files"] == [f"part-{number:05}.parquet" for number in range(shards)]
    assert found["order"] == list(range(ROWS))
    assert found["label"] == labels.astype(str).tolist()
    np.testing.assert_allclose(found["score_1"], model.predict_proba(rows)[:, 1], atol=1e-12)
