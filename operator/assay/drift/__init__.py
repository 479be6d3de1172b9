"""Whether a model is given other inputs than before: an early warning, never a verdict.

`window` holds counts by feature and bin, `distance` compares two of them, `decision` decides. `decay`
decides whether the version that serves is worth less than its reference says. `questions` is what
Prometheus is asked, and what its answers mean. Pure: the asking is the controller's.
"""

from assay.drift.decision import Against, Decision, Finding, decide
from assay.drift.window import DAY_SECONDS, EARLIER_DAYS, SPANS, Sight, Window, fitting_span, spans

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
    "spans",
]
