"""The state machine of rollouts: (spec, status, what was seen, now) to the next status. Pure."""

from .adoption import adopted
from .analysis import only_numbers_differ
from .decision import decide
from .observation import (
    Decision,
    Event,
    EvidenceProblem,
    GuardReading,
    MemberView,
    Observation,
    Order,
    PodsView,
    RecordView,
    RouteView,
)

__all__ = [
    "Decision",
    "Event",
    "EvidenceProblem",
    "GuardReading",
    "MemberView",
    "Observation",
    "Order",
    "PodsView",
    "RecordView",
    "RouteView",
    "adopted",
    "decide",
    "only_numbers_differ",
]
