"""The drift reference: made from training data, read back, and what of it is refused."""

import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from assay_server.artifacts import load
from assay_server.artifacts.skops_file import REFERENCE
from assay_server.reference import (
    MAX_BINS,
    MEMBER,
    Categorical,
    Histogram,
    Numeric,
    Reference,
    ReferenceFormatError,
    embed,
)

columns = arrays.arrays(
    np.float64,
    st.integers(1, 300),
    elements=st.one_of(
        st.floats(allow_nan=True, allow_infinity=True, width=64),
        st.sampled_from([0.0, 1.0, 2.0, -1.5]),
    ),
)


@given(columns, st.integers(2, MAX_BINS - 1))
def test_every_value_is_counted_in_the_bin_between_its_edges(values, bins):
    found = Histogram.of(values, bins)
    known = values[~np.isnan(values)]
    assert found.missing == np.isnan(values).sum()
    assert found.rows == len(values)
    assert len(found.counts) <= max(bins, 3)
    edges = [-np.inf, *found.edges, np.inf]
    for low, high, count in zip(edges[:-1], edges[1:], found.counts, strict=True):
        above = known > low if low > -np.inf else np.full(known.shape, True)
        assert count == (above & (known <= high)).sum()


def test_bins_of_a_continuous_feature_hold_about_the_same():
    values = np.random.default_rng(0).normal(size=10_000)
    assert set(Histogram.of(values, 10).counts) == {1000}


def test_a_value_that_most_rows_have_gets_a_bin_of_its_own():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(10_000) < 0.7, 0.0, rng.normal(size=10_000))
    found = Histogram.of(values, 10)
    place = found.edges.index(0.0)
    assert found.counts[place] == (values == 0).sum()


def test_whole_numbers_get_a_bin_each():
    values = np.arange(5).repeat([50, 40, 30, 20, 10])
    found = Histogram.of(values)
    assert (found.edges, found.counts) == ((0.0, 1.0, 2.0, 3.0), (50, 40, 30, 20, 10))


@pytest.mark.parametrize("value", [0.0, -3.5, 1e300])
def test_of_a_constant_feature_whatever_else_comes_is_told_apart(value):
    found = Histogram.of(np.full(10, value))
    assert found.counts == (0, 10, 0)
    assert found.edges[0] < value < found.edges[1]


def test_categories_are_the_most_frequent_ones_and_the_rest_is_other():
    names = [f"name {number}" for number in range(30) for _ in range(number + 1)]
    values = np.array([[*names, None, np.nan, 1.0, 1]], dtype=object).T
    [feature] = Reference.of(values, ["city"], categorical=[0]).features
    assert isinstance(feature, Categorical)
    assert feature.categories[0] == "name 29"
    assert len(feature.counts) == MAX_BINS - 2
    assert feature.missing == 2
    assert feature.other == sum(range(1, 13)) + 2  # of which two are the number 1
    assert feature.rows == len(names) + 4


def test_numbers_among_categories_are_named_by_text():
    values = np.array([[1], [1.0], [2.5], [True], ["1"]], dtype=object)
    [feature] = Reference.of(values, categorical=[0]).features
    assert dict(zip(feature.categories, feature.counts, strict=True)) == {
        "1": 3,
        "2.5": 1,
        "True": 1,
    }


def test_features_are_those_asked_for_in_their_order():
    reference = Reference.of(np.eye(4), list("abcd"), columns=[3, 1])
    assert [(f.name, f.column) for f in reference.features] == [("d", 3), ("b", 1)]


def test_without_names_columns_are_named_by_their_place():
    assert [f.name for f in Reference.of(np.eye(3)).features] == ["0", "1", "2"]


def test_what_was_written_is_read_back():
    rng = np.random.default_rng(1)
    rows = np.c_[rng.normal(size=100), rng.integers(0, 3, 100)].astype(object)
    rows[:, 1] = [f"c{value:.0f}" for value in rows[:, 1]]
    reference = Reference.of(rows, ["age", "city"], categorical=[1], scores=("yes", rng.random(50)))
    assert Reference.parse(reference.text()) == reference
    assert json.loads(reference.text())["features"][1]["type"] == "Categorical"


GOOD = Reference.of(np.eye(4), list("abcd"), scores=("1", [0.1, 0.2, 0.9]))


def changed(change) -> bytes:
    content = json.loads(GOOD.text())
    change(content)
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"[" * 100_000, "Expected `object`, got `array`"),
        (b"{}", "missing required field"),
        (changed(lambda c: c.update(version=2)), "$.version"),
        (changed(lambda c: c.update(rows=0)), "$.rows"),
        (changed(lambda c: c.update(rows=5)), "features[0] do not add up to rows"),
        (changed(lambda c: c["features"][1].update(name="a")), "differ by name"),
        (changed(lambda c: c["features"][1].update(column=0)), "differ by column"),
        (changed(lambda c: c["features"][1].update(column=-1)), "$.features[1].column"),
        (changed(lambda c: c["features"][1].update(name="")), "$.features[1].name"),
        (changed(lambda c: c["features"][1].update(name="a\nb")), "must be printable"),
        (changed(lambda c: c["features"][1].update(name="predict_proba")), "a name must"),
        (changed(lambda c: c["features"][1].update(edges=[1, 0], counts=[1, 1, 2])), "increase"),
        (changed(lambda c: c["features"][1].update(edges=[0], counts=[4])), "one more entry"),
        (changed(lambda c: c["features"][1].update(counts=[-1, 5])), "counts"),
        (changed(lambda c: c["features"][1].update(edges=[*range(19)])), "$.features[1].edges"),
        (changed(lambda c: c["features"][1].update(type="Ordinal")), "$.features[1].type"),
        (changed(lambda c: c["scores"].update(edges=["a"])), "$.scores.edges[0]"),
        (GOOD.text().replace(b'"edges":[0.0]', b'"edges":[1e999]', 1), ""),
        (GOOD.text().replace(b'"edges":[0.0]', b'"edges":[NaN]', 1), "it is not JSON"),
    ],
)
def test_what_is_no_reference_is_refused_with_the_place(content, message):
    with pytest.raises(ReferenceFormatError) as refused:
        Reference.parse(content)
    assert message in str(refused.value)


def test_what_cannot_be_summarised_is_refused():
    with pytest.raises(ReferenceFormatError, match="column 1 holds what is no number"):
        Reference.of(np.array([[1.0, "secret"]], dtype=object))
    with pytest.raises(ReferenceFormatError, match="shape"):
        Reference.of(np.ones(3))
    with pytest.raises(ReferenceFormatError, match="bins must be"):
        Reference.of(np.eye(3), bins=20)
    with pytest.raises(ReferenceFormatError, match="rows"):
        Reference.of(np.empty((0, 2)))
    with pytest.raises(ReferenceFormatError, match="name"):
        Reference.of(np.eye(1), ["x" * 300])


def test_it_travels_inside_the_artifact_and_the_digest_covers_it(artifact, tmp_path, digest):
    path = tmp_path / "model.skops"
    path.write_bytes(artifact.path.read_bytes())
    path.chmod(0o640)
    reference = Reference.of(artifact.rows)
    embed(path, reference)
    assert MEMBER == REFERENCE
    loaded = load(path, digest(path))
    assert Reference.parse(loaded.reference) == reference
    rows = artifact.rows[:20]
    assert (loaded.object.predict_proba(rows) == artifact.model.predict_proba(rows)).all()
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_model_and_reference_give_the_same_bytes(artifact, tmp_path, digest):
    digests = set()
    for name in ("one", "two"):
        path = tmp_path / name
        path.write_bytes(artifact.path.read_bytes())
        embed(path, Reference.of(artifact.rows[:10]))
        embed(path, Reference.of(artifact.rows))
        digests.add(digest(path))
        with zipfile.ZipFile(path) as archive:
            assert archive.namelist().count(MEMBER) == 1
    assert len(digests) == 1


def test_a_file_that_cannot_be_embedded_into_stays_as_it_was(tmp_path):
    path = tmp_path / "model.skops"
    path.write_bytes(b"no zip file")
    with pytest.raises(zipfile.BadZipFile):
        embed(path, GOOD)
    assert path.read_bytes() == b"no zip file"
    assert list(tmp_path.iterdir()) == [path]


def test_a_numeric_feature_says_so():
    assert all(isinstance(feature, Numeric) for feature in GOOD.features)
