"""Which members serve a ModelDeployment, and how many replicas each. Pure."""

from .choice import Candidate, Choice, Constraint, Refusal, choose
from .planner import PODS_PER_REPLICA, Fault, Holding, Plan, plan
from .shares import floors

__all__ = [
    "PODS_PER_REPLICA",
    "Candidate",
    "Choice",
    "Constraint",
    "Fault",
    "Holding",
    "Plan",
    "Refusal",
    "choose",
    "floors",
    "plan",
]
