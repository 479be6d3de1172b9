"""Two models that find malignant tumours, and labelled rows that neither has seen.

    python examples/evaluate/make.py /tmp/tumours
    cd /tmp/tumours
    assay evaluate new.skops rows.csv --positive malignant --baseline old.skops \
        --cost-fp 1 --cost-fn 10 --html report.html
    assay evaluate new.skops rows.csv --positive malignant --cost-fp 1 --cost-fn 10 -o json > report.json
    assay advise report.json --label-rate 0.5

The rows are the breast cancer data (Wolberg, Street, Mangasarian, 1995) that come with scikit-learn.
"""

import sys
from pathlib import Path

import skops.io
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def make(folder: Path) -> None:
    """Write rows.csv, new.skops and old.skops; `old` knows only ten of the thirty columns."""
    folder.mkdir(parents=True, exist_ok=True)
    data = load_breast_cancer(as_frame=True)
    labels = data.target.map(dict(enumerate(data.target_names)))
    known, unseen, of_known, of_unseen = train_test_split(
        data.data, labels, test_size=0.5, stratify=labels, random_state=0
    )
    unseen.assign(label=of_unseen).to_csv(folder / "rows.csv", index=False)
    for name, columns in (("new", data.feature_names), ("old", data.feature_names[:10])):
        model = make_pipeline(StandardScaler(), LogisticRegression())
        skops.io.dump(model.fit(known[list(columns)], of_known), folder / f"{name}.skops")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
