"""Drift as Prometheus sees it: what is counted, what is found, what it costs at most."""

import json
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from assay_server.drift import MAX_FEATURES, Drift, Inputs, State
from assay_server.drift import monitor as monitor_module
from assay_server.drift.divergence import psi
from assay_server.drift.monitor import BATCH_ROWS, LEAST_ROWS, ROWS_PER_SECOND
from assay_server.reference import MAX_BINS, Reference

LABELS = {"deployment": "fraud", "revision": "r1"}


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def drift_of(reference: Reference, *, clock=None, categorical=(), positive=None) -> Drift:
    inputs = Inputs(
        1 + max(feature.column for feature in reference.features),
        categorical=categorical,
        positive=positive,
    )
    return Drift(reference.text(), inputs, LABELS, clock or Clock())


def samples(drift: Drift) -> dict[str, dict[tuple, float]]:
    """Return {metric: {label values but deployment, revision and boot, by label name: value}}."""
    found = {}
    for family in text_string_to_metric_families(drift.text()):
        for sample in family.samples:
            labels = dict(sample.labels)
            if sample.name != "assay_drift_reference":
                assert (labels.pop("deployment"), labels.pop("revision")) == ("fraud", "r1")
            # Counters, and nothing else, tell processes apart.
            assert (labels.pop("boot", None) is not None) == sample.name.endswith("_total")
            key = tuple(labels[name] for name in sorted(labels))
            found.setdefault(sample.name, {})[key] = sample.value
    return found


def counts(drift: Drift) -> Counter:
    """Return {(bin, feature): rows}, without empty bins."""
    return +Counter({key: int(n) for key, n in samples(drift)["assay_feature_total"].items()})


def expected(reference: Reference, rows: np.ndarray) -> Counter:
    """Count rows one by one, by nothing but what the format says of edges and categories."""
    found = Counter()
    for row in rows.tolist():
        for feature in reference.features:
            value = row[feature.column]
            if value is None or value != value:  # noqa: PLR0124
                bin_ = "missing"
            elif hasattr(feature, "edges"):
                bin_ = str(sum(value > edge for edge in feature.edges))
            else:
                bin_ = next(
                    (str(i) for i, name in enumerate(feature.categories) if name == str(value)),
                    "other",
                )
            found[bin_, feature.name] += 1
    return found


rng = np.random.default_rng(4)
TRAINING = np.c_[rng.normal(size=2000), rng.poisson(1, 2000), rng.exponential(size=2000)]
REFERENCE = Reference.of(TRAINING, ["age", "visits", "amount"])
MIXED = TRAINING.astype(object)
MIXED[:, 1] = [f"c{visits:.0f}" for visits in TRAINING[:, 1]]
MIXED_REFERENCE = Reference.of(MIXED, ["age", "visits", "amount"], categorical=[1])

values = st.one_of(st.floats(-3, 3), st.just(np.nan))


@st.composite
def requests(draw) -> list[np.ndarray]:
    """Some requests of some rows, of which one value in ten is missing."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = draw(st.lists(st.sampled_from([1, 2, 7, 100, 256, 300]), min_size=1, max_size=12))
    batches = []
    for size in sizes:
        rows = generator.choice(TRAINING, size) + generator.normal(size=(size, 3)).round(1)
        rows[generator.random((size, 3)) < 0.1] = np.nan
        batches.append(rows)
    return batches


@settings(max_examples=30)
@given(requests())
def test_every_row_is_counted_once_whatever_the_requests_are_like(batches):
    drift = drift_of(REFERENCE)
    for rows in batches:
        drift.note(rows)
    assert counts(drift) == expected(REFERENCE, np.vstack(batches))


@settings(max_examples=50)
@given(requests(), st.randoms())
def test_pods_and_the_order_of_requests_do_not_matter(batches, random):
    """Counters of all pods add up to those of one that saw everything, in any order."""
    alone = drift_of(REFERENCE)
    pods = [drift_of(REFERENCE) for _ in range(3)]
    for rows in batches:
        alone.note(rows)
    shuffled = random.sample(batches, len(batches))
    for rows in shuffled:
        pod = random.choice(pods)
        pod.note(rows)
        if random.random() < 0.3:
            pod.text()  # a scrape in between
    order = random.sample(pods, len(pods))
    assert sum((counts(pod) for pod in order), Counter()) == counts(alone)


names = st.one_of(
    st.sampled_from(["c0", "c1", "c9", "x" * 5000, 1, 2.0, True]), st.just(float("nan"))
)


@given(st.lists(st.tuples(values, names, values), min_size=1, max_size=40))
def test_names_are_counted_by_category(rows):
    matrix = np.empty((len(rows), 3), dtype=object)
    matrix[:] = rows
    drift = drift_of(MIXED_REFERENCE, categorical=[1])
    drift.note(matrix)
    assert counts(drift) == expected(MIXED_REFERENCE, matrix)
    shown = re.sub(r'boot="\w+"', "", drift.text())  # random digits, which may be those of a name
    assert not any(str(name) in shown for name in MIXED_REFERENCE.features[1].categories)


def test_bins_are_there_from_the_start_with_the_shares_of_training():
    found = samples(drift_of(REFERENCE))
    assert set(found["assay_feature_total"].values()) == {0}
    shares = found["assay_feature_reference_ratio"]
    assert shares.keys() == found["assay_feature_total"].keys()
    for feature in REFERENCE.features:
        for bin_, count in enumerate(feature.counts):
            assert shares[str(bin_), feature.name] == count / 2000
        assert shares["missing", feature.name] == 0


def test_a_shift_of_half_a_standard_deviation_is_found_within_5000_rows():
    generator = np.random.default_rng(9)
    shifted = Reference.of(TRAINING[:, :1].repeat(2, axis=1), ["same", "shifted"])
    drift = drift_of(shifted)
    for _ in range(5000):
        drift.note(generator.normal([[0, 0.5]]))
    found = samples(drift)
    psis = found["assay_feature_psi"]
    assert psis["same",] < 0.03
    assert psis["shifted",] > 0.2
    assert psis["shifted",] > 8 * psis["same",]
    ks = found["assay_feature_ks"]
    assert ks["lower", "same"] < 0.04
    # The distance of two normal distributions half a standard deviation apart is .197.
    assert ks["lower", "shifted"] == pytest.approx(0.197, abs=0.04)
    assert ks["lower", "shifted"] > 4 * ks["lower", "same"]
    assert ks["upper", "same"] > ks["lower", "same"]


def test_a_category_that_nobody_trained_on_is_found():
    drift = drift_of(MIXED_REFERENCE, categorical=[1])
    rows = MIXED[:1000].copy()
    rows[:400, 1] = "new"
    drift.note(rows)
    found = samples(drift)
    assert found["assay_feature_total"]["other", "visits"] == 400
    assert found["assay_feature_psi"]["visits",] > 1
    assert {key[1] for key in found["assay_feature_ks"]} == {"age", "amount"}


def test_the_window_forgets_what_was_long_ago():
    clock = Clock()
    drift = drift_of(REFERENCE, clock=clock)
    for _ in range(100):
        drift.note(TRAINING[:200] + 5)
        clock.now += 1
    assert samples(drift)["assay_feature_psi"]["age",] > 1
    for _ in range(13):
        drift.note(TRAINING[:1000])
        clock.now += 1
    found = samples(drift)
    assert 10_000 <= found["assay_feature_window_rows"][()] <= 12_500
    assert found["assay_feature_psi"]["age",] < 0.05
    assert found["assay_feature_rows_total"][()] == 33_000


def test_a_few_rows_have_no_psi():
    drift = drift_of(REFERENCE)
    drift.note(TRAINING[: LEAST_ROWS - 1])
    assert "assay_feature_psi" not in samples(drift)
    drift.note(TRAINING[:1])
    assert len(samples(drift)["assay_feature_psi"]) == 3


def test_the_scores_are_watched_like_a_feature():
    scores = np.random.default_rng(1).random(2000)
    reference = Reference.of(TRAINING, scores=("yes", scores))
    drift = drift_of(reference, positive=(0, "yes"))
    for half in (slice(1000), slice(1000, 2000)):
        drift.note(TRAINING[half], np.c_[scores, 1 - scores][half])
    found = samples(drift)
    assert found["assay_feature_psi"]["predict_proba",] == 0
    total = sum(n for (_, name), n in counts(drift).items() if name == "predict_proba")
    assert total == found["assay_feature_rows_total"][()] == 2000


def test_scores_of_another_class_are_not_watched():
    reference = Reference.of(TRAINING, scores=("yes", TRAINING[:, 2]))
    drift = drift_of(reference, positive=(1, "no"))
    drift.note(TRAINING[:10], np.ones((10, 2)))
    assert drift.state is State.WATCHED
    assert {name for _, name in samples(drift)["assay_feature_total"]} == {"0", "1", "2"}


def test_the_number_of_series_has_a_limit():
    generator = np.random.default_rng(0)
    many = generator.normal(size=(500, 150))
    reference = Reference.of(many, bins=MAX_BINS - 1, scores=("1", many[:, 0]))
    drift = drift_of(reference, positive=(0, "1"))
    drift.note(many[:, :], np.ones((500, 1)))
    found = samples(drift)
    assert found["assay_features_left_out"][()] == 150 - MAX_FEATURES
    assert len({name for _, name in found["assay_feature_total"]}) == MAX_FEATURES + 1
    series = sum(map(len, found.values()))
    assert series <= (MAX_FEATURES + 1) * (2 * MAX_BINS + 3) + 9
    assert series == pytest.approx(4352, abs=1)


@pytest.mark.parametrize("size", [1, 40, 2500])
def test_beyond_a_rate_rows_are_sampled_and_counted_for_those_left_out(size, monkeypatch):
    """Ten times as many rows as are looked at: the counters still estimate all of them."""
    monkeypatch.setattr(monitor_module, "ROWS_PER_SECOND", 1000)
    clock = Clock()
    drift = drift_of(REFERENCE, clock=clock)
    generator = np.random.default_rng(2)
    served = 0
    for _ in range(60_000 // size):
        drift.note(TRAINING[generator.integers(0, 2000, size)])
        served += size
        clock.now += size / 10_000
    found = samples(drift)
    assert 5000 < found["assay_feature_rows_total"][()] < 10_000
    assert found["assay_feature_sampling"][()] == pytest.approx(10, abs=2)
    for name in ("age", "visits", "amount"):
        total = sum(n for (_, feature), n in counts(drift).items() if feature == name)
        assert total == pytest.approx(served, rel=0.02)
    assert max(found["assay_feature_psi"].values()) < 0.03


def test_when_fewer_rows_come_all_are_looked_at_again():
    clock = Clock()
    drift = drift_of(REFERENCE, clock=clock)
    for _ in range(10 * ROWS_PER_SECOND // 1000):
        drift.note(TRAINING[:1000])
        clock.now += 0.01
    assert samples(drift)["assay_feature_sampling"][()] > 1
    for _ in range(3):
        clock.now += 10
        for _ in range(20 * BATCH_ROWS):
            drift.note(TRAINING[:1])
        drift.text()
    assert samples(drift)["assay_feature_sampling"][()] == 1


def test_what_waits_holds_on_to_no_request():
    """A row may be a view into a body of megabytes."""
    drift = drift_of(REFERENCE)
    rows = TRAINING[:1].copy()
    drift.note(rows)
    before = counts(drift)
    drift.note(rows)
    rows[:] = 1e9
    assert counts(drift) == before + before


@pytest.mark.parametrize(
    ("change", "inputs", "cause"),
    [
        (lambda c: c.update(version=2), Inputs(3), "$.version"),
        (lambda c: None, Inputs(None), "how many features"),
        (lambda c: None, Inputs(2), "features[2].column: the model takes 2 columns"),
        (lambda c: None, Inputs(3, ["age", "amount", "visits"]), "features[1].name"),
        (lambda c: None, Inputs(3, categorical={0}), "features[0]: is Numeric"),
    ],
)
def test_a_reference_that_does_not_fit_is_reported_and_the_model_serves(
    change, inputs, cause, caplog
):
    content = json.loads(REFERENCE.text())
    change(content)
    with caplog.at_level("ERROR", "assay"):
        drift = Drift(json.dumps(content).encode(), inputs, LABELS)
    assert cause in caplog.records[0].fields["cause"]
    drift.note(TRAINING)
    assert drift.state is State.REFUSED
    found = samples(drift)
    assert found["assay_drift_reference"]["fraud", "r1", "Refused"] == 1
    assert sum(found["assay_drift_reference"].values()) == 1
    assert set(found) == {"assay_drift_reference"}


def test_without_a_reference_nothing_is_watched():
    drift = Drift(None, Inputs(3), LABELS)
    drift.note(TRAINING)
    assert samples(drift)["assay_drift_reference"]["fraud", "r1", "Missing"] == 1


def test_rows_that_cannot_be_counted_end_the_watch_and_not_the_request(caplog):
    drift = drift_of(REFERENCE)
    with caplog.at_level("ERROR", "assay"):
        drift.note(np.array([["hush", 1, 2]], dtype=object))
    assert drift.state is State.FAILED
    [failed] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert failed.fields["error"] == "ValueError"
    assert "hush" not in str(failed.fields)
    assert samples(drift)["assay_drift_reference"]["fraud", "r1", "Failed"] == 1


def test_window_counts_are_those_of_its_rows():
    """PSI that is exposed is PSI of exactly the rows that were noted."""
    drift = drift_of(REFERENCE)
    drift.note(TRAINING[:700] * 1.3)
    found = samples(drift)["assay_feature_psi"]
    counted = counts(drift)
    for feature in REFERENCE.features:
        served, trained = np.zeros((2, 1, MAX_BINS), int)
        for bin_, count in enumerate(feature.counts):
            served[0, bin_] = counted[str(bin_), feature.name]
            trained[0, bin_] = count
        assert found[feature.name,] == pytest.approx(psi(served, trained)[0])
