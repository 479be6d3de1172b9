"""Live F1 and AUC from a real server and a real ledger against scikit-learn on the client's log."""

import random
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score

INFER = "/v2/models/fraud/infer"
FEEDBACK = "/v2/models/fraud/feedback"
THRESHOLD = "0.37"


def predict(server, rows, stratum):
    """Send rows, some alone and some together; return their log: (receipt, predicted, score)."""
    log = []
    place = 0
    sizes = random.Random(5)
    while place < len(rows):
        part = rows[place : place + sizes.choice([1, 1, 2, 17])]
        place += len(part)
        tensor = {"name": "x", "shape": list(part.shape), "datatype": "FP64", "data": part.tolist()}
        headers = {"assay-stratum": stratum}
        reply = server.request("POST", INFER, {"inputs": [tensor]}, headers)
        assert reply.status == 200
        found = {output["name"]: output["data"] for output in reply.json()["outputs"]}
        scores = np.reshape(found["predict_proba"], (len(part), 2))[:, 1]
        log += zip(found["receipt"], found["predict"], scores.tolist(), strict=True)
    return log


def send(ledger, entries) -> Counter:
    """Send labels, in small and large bodies; return how often each result came."""
    statuses = Counter()
    sizes = random.Random(6)
    place = 0
    while place < len(entries):
        part = entries[place : place + sizes.choice([1, 3, 200])]
        place += len(part)
        labels = [{"receipt": receipt, "label": label} for receipt, label in part]
        reply = ledger.request("POST", FEEDBACK, {"labels": labels})
        assert reply.status == 200
        statuses.update(found["status"] for found in reply.json()["results"])
    return statuses


def histograms(ledger, stratum) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts of positives and of negatives per bin that is exposed, by score."""
    bins = np.zeros((2, 1024, 1024))
    for (name, labels), value in ledger.metrics().items():
        found = dict(labels)
        if name == "assay_scores_total" and f"{found['rollout']}/{found['step']}" == stratum:
            assert found["class"] == "1"
            base, _, sub = found["bin"].partition(".")
            bins[int(found["label"]), int(base), int(sub or 0)] += value
    return bins[1].ravel(), bins[0].ravel()


def binned_auc(positive, negative) -> tuple[float, float]:
    """Return AUC with ties counted half, and half the width in which the exact one must lie."""
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return (positive @ (below + negative / 2)) / pairs, (positive @ negative) / pairs / 2


@pytest.mark.parametrize("threshold", [None, THRESHOLD])
def test_live_f1_is_exact_and_live_auc_within_its_half_width(
    start, serve_arguments, ledger_arguments, artifact, tmp_path, threshold
):
    rows, truth = artifact.rows, artifact.labels
    settings = [] if threshold is None else ["--threshold", threshold]
    shuffled = random.Random(7)
    strata = {"aaaaaaaaaa/0": slice(0, 900), "aaaaaaaaaa/1": slice(900, 2000)}
    with (
        start(*serve_arguments, *settings) as server,
        start(*ledger_arguments(tmp_path / "l.db")) as ledger,
    ):
        logs = {name: predict(server, rows[part], name) for name, part in strata.items()}
        # The server is gone before the first label arrives: receipts do not need it.
        server.signal(9)
        server.wait()
        first, again = [], []
        for name, part in strata.items():
            for (receipt, _, _), label in zip(logs[name], truth[part].tolist(), strict=True):
                first.append((receipt, shuffled.choice([label, str(label), float(label)])))
                if shuffled.random() < 0.3:
                    again.append((receipt, str(shuffled.choice([0, 1]))))
        shuffled.shuffle(first)
        assert send(ledger, first) == {"counted": 2000}
        assert set(send(ledger, again)) == {"duplicate", "conflict"}

        for name, part in strata.items():
            expected, log = truth[part], logs[name]
            predicted = np.array([entry[1] for entry in log])
            scores = np.array([entry[2] for entry in log])
            found = np.zeros((2, 2), dtype=int)
            for (metric, labels), value in ledger.metrics().items():
                where = dict(labels)
                if (
                    metric == "assay_outcomes_total"
                    and f"{where['rollout']}/{where['step']}" == name
                ):
                    found[int(where["label"]), int(where["predicted"])] += int(value)
            assert found.tolist() == confusion_matrix(expected, predicted).tolist()
            (_, false_positive), (false_negative, true_positive) = found
            f1 = 2 * true_positive / (2 * true_positive + false_positive + false_negative)
            assert f1 == f1_score(expected, predicted)
            if threshold is None:
                assert predicted.tolist() == artifact.model.predict(rows[part]).tolist()
            else:
                assert predicted.tolist() == (scores >= float(threshold)).astype(int).tolist()

            positive, negative = histograms(ledger, name)
            assert (positive.sum(), negative.sum()) == (expected.sum(), (1 - expected).sum())
            auc, half_width = binned_auc(positive, negative)
            assert abs(auc - roc_auc_score(expected, scores)) <= half_width < 0.01


def test_multiclass_confusion_is_exact_and_each_auc_within_its_half_width(
    start, serve_arguments, ledger_arguments, animals, tmp_path
):
    change = ["--model-uri", animals.path, "--digest", animals.digest]
    with (
        start(*serve_arguments, *change) as server,
        start(*ledger_arguments(tmp_path / "l.db")) as ledger,
    ):
        shape = list(animals.rows.shape)
        tensor = {"name": "x", "shape": shape, "datatype": "FP64", "data": animals.rows.tolist()}
        reply = server.request("POST", INFER, {"inputs": [tensor]})
        found = {output["name"]: output["data"] for output in reply.json()["outputs"]}
        labels = animals.labels.tolist()
        assert send(ledger, list(zip(found["receipt"], labels, strict=True))) == {"counted": 600}
        assert ledger.confusion() == Counter(zip(labels, found["predict"], strict=True))

        scores = np.reshape(found["predict_proba"], (600, 3))
        bins = {name: np.zeros((2, 1024)) for name in ("ant", "bee", "cat")}
        for (metric, pairs), value in ledger.metrics().items():
            where = dict(pairs)
            if metric == "assay_scores_total":
                histogram = bins[where["class"]][int(where["label"] == where["class"])]
                histogram[int(where["bin"])] += value
        for column, (name, (negative, positive)) in enumerate(bins.items()):
            assert positive.sum() + negative.sum() == 600
            auc, half_width = binned_auc(positive, negative)
            exact = roc_auc_score(np.array(labels) == name, scores[:, column])
            assert abs(auc - exact) <= half_width < 0.01
