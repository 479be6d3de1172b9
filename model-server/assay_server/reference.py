"""The drift reference: what each feature looked like in training, as counts per bin.

It is made where a model is trained (`Reference.of`) and travels inside the artifact, so that one
digest covers both: as the member `assay-reference.json` of a skops file (`embed`), as the metadata
property `assay.reference` of an ONNX file. The format is JSON (model-server/README.md, Drift).

Bins are chosen so that about as many training rows fall into each. A bin goes from above one edge
up to and including the next, so a cumulative count up to an edge is the exact distribution
function there, and what is known of Kolmogorov and Smirnov's statistic has exact bounds.
"""

import itertools
import math
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import override

from assay_server.quality import Quality

MEMBER = "assay-reference.json"
"""Where it is in a skops file; the same name as `artifacts.skops_file.REFERENCE`."""

VERSION: Literal[1] = 1
MAX_BINS = 20
"""Bins of a feature, with those of missing and of other values."""

MAX_EDGES = MAX_BINS - 2
MAX_CATEGORIES = MAX_BINS - 2
MAX_FEATURES = 10_000
DEFAULT_BINS = 16
# A name that no feature may have: under it the scores are watched.
SCORE = "predict_proba"
_MAX_NAME = 256
# Of a feature that had one value only, so far around it is still that value (relative beyond 1).
_CONSTANT_GAP = 1e-9
# The oldest time that a zip file can hold.
_NO_TIME = (1980, 1, 1, 0, 0, 0)

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=_MAX_NAME)]


class ReferenceFormatError(Exception):
    """What is given is no drift reference; the message says where, and quotes no feature value."""


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """Rows by numeric bin.

    Attributes
    ----------
    edges
        Largest values of all bins but the last, increasing.
    counts
        Rows per bin, one more than edges.
    missing
        Rows without a value.
    """

    edges: Annotated[tuple[float, ...], msgspec.Meta(max_length=MAX_EDGES)]
    counts: Annotated[tuple[Count, ...], msgspec.Meta(max_length=MAX_EDGES + 1)]
    missing: Count = 0

    def __post_init__(self) -> None:
        """Check what types cannot say."""
        if not all(map(math.isfinite, self.edges)):
            raise ValueError("edges must be finite")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("edges must increase")
        if len(self.counts) != len(self.edges) + 1:
            raise ValueError("counts must have one more entry than edges")

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.counts) + self.missing

    @classmethod
    def of(cls, values: ArrayLike, bins: int = DEFAULT_BINS) -> Self:
        """Count values (numbers; NaN is missing) in at most `bins` bins of about equal counts."""
        numbers = np.asarray(values, dtype=np.float64)
        known = np.sort(numbers[~np.isnan(numbers)])
        edges = _edges(known, bins)
        below = known.searchsorted(edges, "right").tolist()
        counts = np.diff([0, *below, known.size]).tolist()
        return cls(
            edges=tuple(edges.tolist()), counts=tuple(counts), missing=numbers.size - known.size
        )


class Numeric(Histogram, frozen=True, kw_only=True, tag="Numeric", tag_field="type"):
    """A numeric feature; `column` is its place in the model's input, from 0."""

    name: Name
    column: Count

    @override
    def __post_init__(self) -> None:
        """Check what types cannot say."""
        Histogram.__post_init__(self)
        _check_name(self.name)


class Categorical(msgspec.Struct, frozen=True, kw_only=True, tag="Categorical", tag_field="type"):
    """A feature of names: rows by category, and of all further ones (`other`) together.

    Numbers among the categories are named by text: 1 and 1.0 are "1".
    """

    name: Name
    column: Count
    categories: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=1024)], ...],
        msgspec.Meta(max_length=MAX_CATEGORIES),
    ]
    counts: Annotated[tuple[Count, ...], msgspec.Meta(max_length=MAX_CATEGORIES)]
    other: Count = 0
    missing: Count = 0

    def __post_init__(self) -> None:
        """Check what types cannot say."""
        _check_name(self.name)
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("categories must differ")
        if len(self.counts) != len(self.categories):
            raise ValueError("counts must have as many entries as categories")

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.counts) + self.other + self.missing


class Scores(Histogram, frozen=True, kw_only=True):
    """The scores that the model gave in training or testing.

    `of_class` names the class whose probability they are. They may be of other rows than the features.
    """

    of_class: Annotated[str, msgspec.Meta(max_length=1024)]


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """Training data in summary.

    Attributes
    ----------
    rows
        Training rows; the counts of every feature add up to it.
    features
        Those to watch, in order of importance when there are many: a server watches the first 100.
    scores
        None if only inputs are to be watched.
    quality
        Unset if quality is not to be estimated; it may be of other rows than the features.
    contributions
        Of a linear model: for each decision score, what each column of the model's input adds to it
        on average (`models.contributions`). Unset for other models.
    """

    version: Literal[1] = VERSION
    rows: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    features: Annotated[tuple[Numeric | Categorical, ...], msgspec.Meta(max_length=MAX_FEATURES)]
    scores: Scores | None = None
    # Left out of the text if unset: what was made before there was such a thing keeps its digest.
    quality: Quality | msgspec.UnsetType = msgspec.UNSET
    contributions: tuple[tuple[float, ...], ...] | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        """Check what types cannot say."""
        for what in ("name", "column"):
            values = [getattr(feature, what) for feature in self.features]
            if len(set(values)) != len(values):
                raise ValueError(f"features must differ by {what}")
        for place, feature in enumerate(self.features):
            if feature.rows != self.rows:
                raise ValueError(f"the counts of features[{place}] do not add up to rows")
        if isinstance(self.contributions, tuple):
            numbers = itertools.chain.from_iterable(self.contributions)
            if not all(map(math.isfinite, numbers)):
                raise ValueError("contributions must be finite")

    @classmethod
    def of(
        cls,
        matrix: ArrayLike,
        names: Sequence[str] | None = None,
        *,
        categorical: Iterable[int] = (),
        columns: Sequence[int] | None = None,
        scores: tuple[str, ArrayLike] | None = None,
        quality: Quality | None = None,
        contributions: Sequence[Sequence[float]] | None = None,
        bins: int = DEFAULT_BINS,
    ) -> Self:
        """Summarise training data.

        Parameters
        ----------
        matrix
            Rows as the model gets them, shape (n, d): numbers, or objects with names in the
            categorical columns; NaN and None are missing.
        names
            The model's `feature_names_in_`; None names columns by their place.
        categorical
            Places of the columns whose values are names.
        columns
            Places of the columns to watch, most important first; None watches all, in order.
        scores
            Name of the positive class, and the probability that the model gave it per row.
        quality
            What `assay_server.calibration.fit` made of labelled rows.
        contributions
            What `Contributions.means` makes of the rows, for a linear model.
        bins
            Bins of a numeric feature, 2 to 19, without that of missing values.

        Raises
        ------
        ReferenceFormatError
            No rows, or a name that cannot be used.
        """
        rows: NDArray[Any] = np.asarray(matrix)
        named = set(categorical)
        try:
            if rows.ndim != 2:
                raise ValueError("matrix must have the shape (rows, features)")
            if not 2 <= bins <= MAX_EDGES + 1:
                raise ValueError(f"bins must be 2 to {MAX_EDGES + 1}")
            made = cls(
                rows=rows.shape[0],
                features=tuple(
                    _feature(
                        rows[:, column],
                        str(column if names is None else names[column]),
                        column,
                        None if column in named else bins,
                    )
                    for column in (range(rows.shape[1]) if columns is None else columns)
                ),
                scores=None if scores is None else _scores(*scores, bins),
                quality=msgspec.UNSET if quality is None else quality,
                contributions=msgspec.UNSET
                if contributions is None
                else tuple(map(tuple, contributions)),
            )
        except ValueError as error:
            raise ReferenceFormatError(str(error)) from None
        # Servers read it so; what they would refuse must not get into an artifact.
        return cls.parse(made.text())

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read a reference. Raises ReferenceFormatError."""
        try:
            return msgspec.json.decode(content, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ReferenceFormatError(_without_values(error)) from None

    def text(self) -> bytes:
        """Return it as JSON, always the same bytes for the same reference."""
        return msgspec.json.encode(self)


def embed(path: Path, reference: Reference) -> None:
    """Put a reference into a skops file, in place of any that is there.

    All times in the file are set to 1980, so the same model and reference give the same bytes, and
    the same digest. Raises OSError and zipfile.BadZipFile; the file is then as it was.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        try:
            with zipfile.ZipFile(path) as old, zipfile.ZipFile(new, "w") as archive:
                kept = [member for member in old.infolist() if member.filename != MEMBER]
                for member in sorted(kept, key=lambda member: member.filename):
                    _write(archive, member.filename, old.read(member), member.compress_type)
                _write(archive, MEMBER, reference.text(), zipfile.ZIP_DEFLATED)
            new.flush()
            os.fchmod(new.fileno(), path.stat().st_mode & 0o777)
            Path(new.name).replace(path)
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise


def category_of(value: object) -> str | None:
    """Return the text by which a value is known among categories; None if it is missing."""
    if isinstance(value, str):
        return str(value)
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return None
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _write(archive: zipfile.ZipFile, name: str, content: bytes, compression: int) -> None:
    entry = zipfile.ZipInfo(name, _NO_TIME)
    entry.external_attr = 0o600 << 16
    archive.writestr(entry, content, compression)


def _feature(
    values: NDArray[Any], name: str, column: int, bins: int | None
) -> Numeric | Categorical:
    if bins is not None:
        found = Histogram.of(_numbers(values, column), bins)
        return Numeric(
            name=name,
            column=column,
            edges=found.edges,
            counts=found.counts,
            missing=found.missing,
        )
    counts = Counter(map(category_of, values.tolist()))
    missing = counts.pop(None, 0)
    known = sorted(
        ((text, count) for text, count in counts.items() if text is not None),
        key=lambda entry: (-entry[1], entry[0]),
    )
    named, others = known[:MAX_CATEGORIES], known[MAX_CATEGORIES:]
    return Categorical(
        name=name,
        column=column,
        categories=tuple(text for text, _ in named),
        counts=tuple(count for _, count in named),
        other=sum(count for _, count in others),
        missing=missing,
    )


def _numbers(values: NDArray[Any], column: int) -> NDArray[np.float64]:
    known = [math.nan if value is None else value for value in values.tolist()]
    try:
        return np.array(known, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"column {column} holds what is no number: is it categorical?") from None


def _scores(of_class: str, values: ArrayLike, bins: int) -> Scores:
    found = Histogram.of(values, bins)
    return Scores(of_class=of_class, edges=found.edges, counts=found.counts, missing=found.missing)


def _edges(known: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Return at most `bins` - 1 edges for sorted values, each of them a value.

    A value that is more than a bin's share of all has a bin of its own.
    """
    if known.size == 0:
        return known
    edges: NDArray[np.float64]
    if known[0] == known[-1]:
        # Whatever else comes is drift: three bins, two of them empty.
        value = float(known[0])
        gap = _CONSTANT_GAP * max(1.0, abs(value))
        edges = np.array([value - gap, value + gap])
    else:
        places = np.maximum(np.arange(1, bins) * known.size // bins - 1, 0)
        quantiles, times = np.unique(known[places], return_counts=True)
        before = known.searchsorted(quantiles[times > 1], "left") - 1
        edges = np.union1d(quantiles, known[before[before >= 0]])
        edges = edges[edges < known[-1]]
    finite: NDArray[np.float64] = edges[np.isfinite(edges)]
    return finite


def _check_name(name: str) -> None:
    if not name.isprintable() or name == SCORE:
        raise ValueError(f"a name must be printable and not {SCORE!r}")


def _without_values(error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        # msgspec tells types and places, and what __post_init__ above says.
        return str(error)[:300]
    return f"it is not JSON ({type(error).__name__})"
