"""Labels by the client's own ids, positives only, some too late: the live F1 is scikit-learn's.

The client is a shop: it sends orders with their numbers, learns of some frauds soon and of others
after the label age, and pushes them from a warehouse extract with `assay labels push`.
"""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import requests

from assay.api.deployment_status import Stage as RolloutStage
from assay.evidence import Evidence
from assay.evidence.errors import EvidenceUnavailable
from demo import evidence
from demo.log import Prediction, confusion, f1, where_served
from demo.manifests import NAMESPACE
from demo.models import POSITIVE, Version, artifact, copy_of, split
from tests.e2e.trial import Trial, kill, wait_until

pytestmark = pytest.mark.e2e

CLASSES = ("benign", POSITIVE)
AGE_SECONDS = 25
LATE_SHARE = 0.3
ORDERS = 600
PUSHES = 5


def ask(trial: Trial, count: int) -> dict[str, Prediction]:
    """Send orders of one row each through the gateways in turn; return the answers by order number."""
    data = split()
    rng = np.random.default_rng(3)
    found = {}
    with requests.Session() as session:
        targets = trial.stage.targets(trial.name)
        for number in range(count):
            target = targets[number % len(targets)]
            row = int(rng.integers(len(data.held_out_rows)))
            order = f"order-{number:05d}"
            values = [float(value) for value in data.held_out_rows[row]]
            body = {
                "id": order,
                "inputs": [
                    {"name": "x", "shape": [1, len(values)], "datatype": "FP64", "data": values}
                ],
            }
            sent = time.time()
            answer = session.post(
                f"{target.gateway}/v2/models/{trial.name}/infer", json=body, timeout=15
            )
            assert answer.status_code == 200, answer.text
            document = answer.json()
            assert document["id"] == order
            outputs = {item["name"]: item["data"] for item in document["outputs"]}
            receipt = outputs["receipt"][0]
            revision, rollout, step = where_served(receipt)
            found[order] = Prediction(
                row=row,
                member=target.member,
                sent=sent,
                answered=time.time(),
                version=document["model_version"],
                revision=revision,
                rollout=rollout,
                step=step,
                predicted=outputs["predict"][0],
                score=outputs["predict_proba"][1],
                truth=str(data.held_out_labels[row]),
                receipt=receipt,
            )
    return found


def push(trial: Trial, orders: list[str], folder: Path, token: str) -> str:
    """Push frauds as a warehouse would: an extract with the order number, through the gateways.

    Once more if it has to be: a ledger that was killed knows the last orders only when their server
    has told it again.
    """
    extract = folder / "chargebacks.parquet"
    pa.parquet.write_table(pa.table({"order": orders, "class": [POSITIVE] * len(orders)}), extract)
    (folder / "token").write_text(token + "\n")
    ledgers = [
        part for target in trial.stage.targets(trial.name) for part in ("--ledger", target.gateway)
    ]
    command = [
        *(str(Path(sys.executable).with_name("assay")), "labels", "push", str(extract), *ledgers),
        *("--name", trial.name, "--id-column", "order", "--label-column", "class"),
        *("--token-file", str(folder / "token")),
    ]
    said = ""
    for _ in range(PUSHES):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said += done.stdout
        if done.returncode == 0:
            return said
        assert "unknown_id" in done.stdout, done.stdout + done.stderr
        time.sleep(1.0)
    pytest.fail(f"some orders stay unknown: {said}")


def test_frauds_by_order_number_and_no_label_for_the_rest(trial: Trial, tmp_path: Path) -> None:
    feedback = {
        "joinBy": "RequestId",
        "missingLabel": "Negative",
        "labelAgeSeconds": AGE_SECONDS,
        "exposure": "Gateway",
    }
    # A margin that no stream of this length can decide keeps the trial open.
    undecidable = {
        "feedback": feedback,
        "rollout.canary.steps": [{"weight": 50}],
        "rollout.analysis.metrics.0.margin": "0.001",
        "rollout.analysis.metrics.1.margin": "0.001",
    }
    trial.start(artifact(Version.FIRST), {"feedback": feedback})
    twin = copy_of(Version.FIRST)
    trial.apply(twin, undecidable)
    status = trial.until_stage(RolloutStage.TRIAL, twin.version).status
    assert status.rollout is not None
    assert status.stable is not None
    assert status.canary is not None
    [secret] = [
        item
        for item in trial.objects("east", "secrets")
        if item["metadata"]["name"] == f"{trial.name}-labels"
    ]
    token = base64.b64decode(secret["data"]["label-token"]).decode()

    started = time.time()
    orders = ask(trial, ORDERS)
    frauds = [order for order, item in orders.items() if item.truth == POSITIVE]
    late = set(frauds[:: round(1 / LATE_SHARE)])
    early = [order for order in frauds if order not in late]
    assert time.time() - started < AGE_SECONDS, "the machine is too slow for this label age"
    assert kill(trial.stage.members["east"], "assay-server ledger") > 0

    [west] = [item for item in trial.stage.targets(trial.name) if item.member == "west"]
    refused = requests.post(
        f"{west.gateway}/v2/models/{trial.name}/feedback",
        json={"labels": [{"id": early[0], "label": POSITIVE}]},
        timeout=15,
    )
    assert refused.status_code == 401, refused.text
    counted = push(trial, early, tmp_path, token)
    assert "counted" in counted or "pending" in counted, counted

    def read() -> Evidence:
        return evidence.read_trial(
            connections,
            NAMESPACE,
            trial.name,
            status,
            now=time.time(),
            scrape_interval_seconds=1.0,
            label_age_seconds=AGE_SECONDS,
        )

    def reads(part: Callable[[Evidence], object]) -> bool:
        """Whether that much is read now; a ledger that was just killed is scraped again soon."""
        try:
            return part(read()) == expected
        except EvidenceUnavailable:
            return False

    connections = trial.stage.prometheus()
    own = [item for item in orders.values() if item.rollout == status.rollout.id]
    arms = {
        "stable": [item for item in own if item.revision == status.stable.revision],
        "canary": [item for item in own if item.revision == status.canary.revision],
    }
    expected = tuple(len(rows) for rows in arms.values())
    wait_until(
        "every order of the trial is released", lambda: reads(lambda found: found.labelled), 120.0
    )
    # For those, too, a label is final by now: the negative one that was assumed.
    assert "corrected" in push(trial, sorted(late), tmp_path, token)
    wait_until(
        "what was served is read as of then, too", lambda: reads(lambda found: found.served), 60.0
    )
    found = read()
    assert found.labelled == expected

    for order, item in orders.items():
        item.truth = POSITIVE if order in set(early) else "benign"
    for name, rows in arms.items():
        counts = [getattr(stratum, name) for stratum in found.strata]
        total = sum(counts[1:], start=counts[0])
        matrix = confusion(rows, CLASSES)
        assert np.array_equal(total.confusion, matrix), name
        live = 2 * total.confusion[1, 1] / (total.confusion[1].sum() + total.confusion[:, 1].sum())
        assert live == pytest.approx(f1(rows, POSITIVE), abs=1e-12)
    log = json.dumps({name: len(rows) for name, rows in arms.items()})
    assert min(expected) > 100, log
