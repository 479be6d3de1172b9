"""Counts and distances as text for Prometheus. The text of a series is made once."""

import math
from collections.abc import Mapping, Sequence

from assay_server import exposition
from assay_server.drift.binning import OTHER, Watched
from assay_server.drift.divergence import MISSING, Counts, kolmogorov_smirnov, psi
from assay_server.reference import MAX_BINS, SCORE, Categorical, Scores

_TOTAL = "assay_feature_total"
_RATIO = "assay_feature_reference_ratio"
_PSI = "assay_feature_psi"
_KS = "assay_feature_ks"
_BOUNDS = ("lower", "upper")


class Exposed:
    """Writes what is known of the watched features.

    Parameters
    ----------
    watched
        The features, in the order of all counts.
    trained
        Their training rows by bin.
    labels
        Labels of all series.
    boot
        Tells the counters of this process from those of one before it, as in `assay_served_total`: a
        difference between two moments is then never one of two processes.
    """

    def __init__(
        self, watched: Sequence[Watched], trained: Counts, labels: Mapping[str, str], boot: str
    ) -> None:
        self._trained = trained
        self._totals: list[str] = []
        # Where each counter is in the flattened counts.
        self._places: list[int] = []
        self._psi: list[str] = []
        self._ks: list[list[str] | None] = []
        ratios = []
        for place, entry in enumerate(watched):
            name = SCORE if isinstance(entry, Scores) else entry.name
            own = {**labels, "feature": name}
            for label, bin_ in _bins(entry):
                self._totals.append(exposition.series(_TOTAL, {**own, "bin": label, "boot": boot}))
                self._places.append(place * MAX_BINS + bin_)
                ratio = int(trained[place, bin_]) / max(1, int(trained[place].sum()))
                ratios.append(f"{exposition.series(_RATIO, {**own, 'bin': label})}{ratio!r}")
            self._psi.append(exposition.series(_PSI, own))
            ordered = not isinstance(entry, Categorical)
            self._ks.append(
                [exposition.series(_KS, {**own, "bound": bound}) for bound in _BOUNDS]
                if ordered
                else None
            )
        help_text = "Share of the training rows by feature and bin."
        self._reference = exposition.family(_RATIO, "gauge", help_text, ratios)

    def totals(self, totals: Counts) -> str:
        """Return the counters, and beside them what there was in training."""
        values = totals.ravel()[self._places].tolist()
        return (
            exposition.counters(
                _TOTAL,
                "Rows served, by feature and bin of the drift reference.",
                dict(zip(self._totals, values, strict=True)),
            )
            + self._reference
        )

    def distances(self, served: Counts) -> str:
        """Return PSI and KS of some rows. Features with nothing but missing values have no KS."""
        indexes = psi(served, self._trained).tolist()
        lower, upper = kolmogorov_smirnov(served, self._trained)
        bounds: dict[str, float] = {}
        for texts, *values in zip(self._ks, lower.tolist(), upper.tolist(), strict=True):
            if texts is not None and math.isfinite(values[0]):
                bounds |= zip(texts, values, strict=True)
        return exposition.gauges(
            _PSI,
            "Population stability index of the last rows against training.",
            dict(zip(self._psi, indexes, strict=True)),
        ) + exposition.gauges(
            _KS,
            "Bounds of the Kolmogorov-Smirnov statistic of the last rows against training.",
            bounds,
        )


def _bins(entry: Watched) -> list[tuple[str, int]]:
    """Return the label of each bin, and its place in the counts."""
    bins = [(str(bin_), bin_) for bin_ in range(len(entry.counts))]
    if isinstance(entry, Categorical):
        bins.append(("other", OTHER))
    return [*bins, ("missing", MISSING)]
