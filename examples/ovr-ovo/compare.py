"""One-vs-rest against one-vs-one and the multinomial model: models, fit time, latency, quality.

    python examples/ovr-ovo/compare.py            # digits, and made-up data with 3, 10 and 30 classes
    python examples/ovr-ovo/compare.py --quick    # a fraction of a minute

Every classifier is a logistic regression behind a scaler. Latency is that of the model server's own
scoring (`Candidate`), which folds linear models into a few matrix products. Quality is of rows that
were not trained on. Times are the best of some runs: compare them with each other.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from assay_workbench.candidate import Candidate, Rule

ROWS_OF_A_BATCH = 1000


@dataclass(frozen=True)
class Data:
    """Rows to train on and rows to ask, shapes (n, d) and (n,)."""

    name: str
    known: np.ndarray
    unseen: np.ndarray
    of_known: np.ndarray
    of_unseen: np.ndarray

    @classmethod
    def split(cls, name: str, rows: np.ndarray, labels: np.ndarray) -> "Data":
        """Keep a third of each class to ask."""
        return cls(
            name, *train_test_split(rows, labels, test_size=1 / 3, stratify=labels, random_state=0)
        )


@dataclass(frozen=True)
class Result:
    """What one strategy took and gave."""

    strategy: str
    models: int
    fit_seconds: float
    kibibytes: float
    row_microseconds: float
    batch_milliseconds: float
    accuracy: float
    f1: float
    auc: float | None


def datasets(classes: list[int], rows: int) -> Iterator[Data]:
    """Yield digits and made-up data with so many classes."""
    yield Data.split("digits, 10 classes, 64 columns", *load_digits(return_X_y=True))
    for count in classes:
        made = make_classification(
            rows,
            n_features=20,
            n_informative=12,
            n_classes=count,
            n_clusters_per_class=1,
            class_sep=1.5,
            random_state=0,
        )
        yield Data.split(f"made up, {count} classes, 20 columns", *made)


def strategies(classes: int) -> dict[str, tuple[object, int]]:
    """Return each strategy's classifier, and how many models of two classes it fits."""

    def regression() -> LogisticRegression:
        return LogisticRegression(max_iter=1000)

    pairs = classes * (classes - 1) // 2
    return {
        "multinomial": (regression(), 1),
        "one-vs-rest": (OneVsRestClassifier(regression()), classes),
        "one-vs-one": (OneVsOneClassifier(regression()), pairs),
        # One-vs-one has votes and no probabilities: three folds, each with all pairs.
        "one-vs-one, calibrated": (
            CalibratedClassifierCV(OneVsOneClassifier(regression()), cv=3),
            3 * pairs,
        ),
    }


def best(runs: int, work: Callable[[], object]) -> float:
    """Return the seconds of the fastest run."""
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def measure(data: Data, name: str, classifier: object, models: int, runs: int) -> Result:
    """Fit, save, load as the server does, and ask."""
    pipeline = make_pipeline(StandardScaler(), classifier)
    fit = best(max(1, runs // 10), lambda: pipeline.fit(data.known, data.of_known))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.skops"
        skops.io.dump(pipeline, path)
        size = path.stat().st_size / 1024
        candidate = Candidate(path, Rule())
    row = data.unseen[:1].astype(float)
    batch = np.resize(data.unseen, (ROWS_OF_A_BATCH, data.unseen.shape[1])).astype(float)
    predicted = pipeline.predict(data.unseen)
    probabilities = getattr(pipeline, "predict_proba", None)
    return Result(
        strategy=name,
        models=models,
        fit_seconds=fit,
        kibibytes=size,
        row_microseconds=1e6 * best(10 * runs, lambda: candidate.score(row)),
        batch_milliseconds=1e3 * best(runs, lambda: candidate.score(batch)),
        accuracy=accuracy_score(data.of_unseen, predicted),
        f1=f1_score(data.of_unseen, predicted, average="macro"),
        auc=probabilities
        and roc_auc_score(data.of_unseen, probabilities(data.unseen), multi_class="ovo"),
    )


def compare(data: Data, runs: int) -> list[Result]:
    """Measure every strategy."""
    classes = len(np.unique(data.of_known))
    return [
        measure(data, name, classifier, models, runs)
        for name, (classifier, models) in strategies(classes).items()
    ]


def table(results: list[Result]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| strategy | models | fit, s | file, KiB | one row, us | 1 000 rows, ms | accuracy | macro F1 | AUC (OvO) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        auc = "no probabilities" if each.auc is None else f"{each.auc:.4f}"
        lines.append(
            f"| {each.strategy} | {each.models} | {each.fit_seconds:.2f} | {each.kibibytes:.0f} "
            f"| {each.row_microseconds:.0f} | {each.batch_milliseconds:.2f} "
            f"| {each.accuracy:.3f} | {each.f1:.3f} | {auc} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="digits and three classes, fewer runs")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore", category=FutureWarning)
    for data in datasets([3] if quick else [3, 10, 30], 1500 if quick else 9000):
        print(f"\n{data.name}, {len(data.known)} rows trained on, {len(data.unseen)} asked:\n")
        print(table(compare(data, 10 if quick else 50)), flush=True)


if __name__ == "__main__":
    main()
