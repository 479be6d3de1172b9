"""What says that a model which nobody changed gets worse: asked of the members' Prometheus.

    python -m examples.digits.signals                # once
    python -m examples.digits.signals --until-drift  # again and again, until inputs have drifted

Three questions, by what they need (docs/drift.md): are inputs like training (no labels), what are the
answers worth if scores still mean what they meant (no labels), and what were they worth (labels).
Whether inputs have drifted is for the operator to say: its condition is printed with them.
"""

import argparse
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from assay.evidence import EvidenceUnavailable
from demo.manifests import NAMESPACE
from examples.digits.place import here
from examples.digits.stream import NAME
from fleet.errors import FleetError

DRIFTED = 0.25
"""PSI from which a shift is usually called large; in so short a window, of a column or two by chance."""
LEAST_SHARE = 1e-4
_OWN = f'namespace="{NAMESPACE}",deployment="{NAME}"'
_PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class Signals:
    """What the last seconds say of one revision.

    Attributes
    ----------
    psi
        By column, largest first.
    expected, estimated, live
        Macro F1: of labelled rows before deployment, estimated without labels, and of labels that
        came back; not a number without rows.
    """

    revision: str
    rows: int
    psi: dict[str, float]
    expected: float
    estimated: float
    live: float

    def lines(self) -> Iterator[str]:
        """Yield what a person reads."""
        worst = ", ".join(f"{name} {value:.2f}" for name, value in list(self.psi.items())[:5])
        count = sum(value > DRIFTED for value in self.psi.values())
        yield f"{self.rows} rows of revision {self.revision}"
        yield f"  inputs: PSI above {DRIFTED} in {count} of {len(self.psi)} columns ({worst})"
        yield (
            f"  macro F1: {self.expected:.3f} before deployment, {self.estimated:.3f} estimated "
            f"without labels, {self.live:.3f} by labels that came back"
        )


class Question:
    """Asks every member and adds up."""

    def __init__(self) -> None:
        self._stage = here()
        self._connections = self._stage.prometheus()

    def stable(self) -> str:
        """Return the revision that serves."""
        found = self._stage.read(NAME)
        stable = found.status.stable if found else None
        return stable.revision if stable else ""

    def drift_condition(self) -> tuple[str, str, str]:
        """Return (status, reason, message) of the operator's `DriftDetected`; ``Absent`` if not there."""
        found = self._stage.read(NAME)
        return found.condition("DriftDetected") if found else ("Absent", "", "")

    def ask(self, seconds: int) -> Signals:
        """Return the signals of the last so many seconds. Raises `EvidenceUnavailable`."""
        revision = self.stable()
        own = f'{_OWN},revision="{revision}"'
        served: dict[tuple[str, ...], float] = defaultdict(float)
        estimates: dict[tuple[str, ...], float] = defaultdict(float)
        truths: dict[tuple[str, ...], float] = defaultdict(float)
        trained: dict[tuple[str, ...], float] = {}
        expected = []
        for connection in self._connections.values():

            def sums(what: str, of: str, by: str, connection: Any = connection) -> Any:
                text = f"{what} by ({by}) ({of})"
                names = by.split(", ")
                return {
                    tuple(row["metric"].get(name, "") for name in names): float(row["value"][1])
                    for row in connection.query(text).rows
                }

            def grown(counter: str) -> str:
                return f"increase({counter}{{{own}}}[{seconds}s])"

            for total, counter, by in (
                (served, "assay_feature_total", "feature, bin"),
                (estimates, "assay_estimated_outcomes_total", "class, outcome"),
                (truths, "assay_outcomes_total", "label, predicted"),
            ):
                for key, value in sums("sum", grown(counter), by).items():
                    total[key] += value
            trained |= sums("max", f"assay_feature_reference_ratio{{{own}}}", "feature, bin")
            expected += sums("max", f"assay_reference_f1{{{own}}}", "average").values()
        psi = stability(served, trained)
        rows = max((sum(v for k, v in served.items() if k[0] == name) for name in psi), default=0)
        return Signals(
            revision,
            round(rows),
            psi,
            expected[0] if expected else math.nan,
            macro_f1(
                {
                    name: tuple(
                        estimates[name, cell]
                        for cell in ("TruePositive", "FalsePositive", "FalseNegative")
                    )
                    for name, _ in estimates
                }
            ),
            macro_f1(outcomes(truths)),
        )


def stability(
    served: dict[tuple[str, ...], float], trained: dict[tuple[str, ...], float]
) -> dict[str, float]:
    """Return the population stability index of each feature, largest first.

    Both by feature and bin: rows that were served, and shares of the training rows.
    """
    totals: dict[str, float] = defaultdict(float)
    for (feature, _), rows in served.items():
        totals[feature] += rows
    found: dict[str, float] = defaultdict(float)
    for (feature, bin_), share in trained.items():
        if totals[feature] > 0:
            p = max(served.get((feature, bin_), 0.0) / totals[feature], LEAST_SHARE)
            q = max(share, LEAST_SHARE)
            found[feature] += (p - q) * math.log(p / q)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def outcomes(truths: dict[tuple[str, ...], float]) -> dict[str, tuple[float, ...]]:
    """Return (true positives, false positives, false negatives) of each class.

    From rows by (true class, predicted class).
    """
    names = {name for pair in truths for name in pair}
    return {
        name: (
            truths.get((name, name), 0.0),
            sum(rows for (true, said), rows in truths.items() if said == name != true),
            sum(rows for (true, said), rows in truths.items() if true == name != said),
        )
        for name in names
    }


def macro_f1(counts: dict[str, tuple[float, ...]]) -> float:
    """Return the mean F1 over classes; not a number without rows."""
    values = [
        2 * true / (2 * true + false + missed)
        for true, false, missed in counts.values()
        if true + false + missed > 0
    ]
    return sum(values) / len(values) if values else math.nan


def main() -> int:
    """Ask and print."""
    parser = argparse.ArgumentParser(prog="python -m examples.digits.signals", description=__doc__)
    parser.add_argument("--seconds", type=int, default=15, help="of how long a time")
    parser.add_argument(
        "--until-drift", action="store_true", help="go on until inputs have drifted"
    )
    parser.add_argument("--give-up", type=float, default=120.0, help="after so many seconds")
    options = parser.parse_args()
    deadline = time.monotonic() + options.give_up
    try:
        question = Question()
        while True:
            found = question.ask(options.seconds)
            status, reason, message = question.drift_condition()
            said = f"  condition DriftDetected: {status} {reason} {message}".rstrip()
            print("\n".join([*found.lines(), said]), flush=True)
            if status == "True" or not options.until_drift:
                break
            if time.monotonic() > deadline:
                print(f"no drift in {options.give_up:.0f} s", file=sys.stderr)
                return 1
            time.sleep(_PAUSE_SECONDS)
    except (EvidenceUnavailable, FleetError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
