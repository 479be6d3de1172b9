"""Whether a model is given other inputs than before: an early warning, never a verdict.

`window` holds counts by feature and bin, `distance` compares two of them, `decision` decides. Pure:
what Prometheus says comes in as plain counts.
"""

from assay.drift.decision import Against, Decision, Finding, decide
from assay.drift.window import DAY_SECONDS, EARLIER_DAYS, SPANS, Sight, Window, fitting_span

__all__ = [
    "DAY_SECONDS",
    "EARLIER_DAYS",
    "SPANS",
    "Against",
    "Decision",
    "Finding",
    "Sight",
    "Window",
    "decide",
    "fitting_span",
]
