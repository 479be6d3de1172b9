"""Which members serve a ModelDeployment, and how many replicas each. Pure."""

from .choice import Candidate, Choice, Refusal, choose, divide

__all__ = ["Candidate", "Choice", "Refusal", "choose", "divide"]
