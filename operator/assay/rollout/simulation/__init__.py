"""Rollouts in simulated time: the real judge and state machine, and models made of two numbers. Pure.

What would happen to a canary of a given quality, by these settings and this traffic? To read the
code start in `run`, then `trial` (what is asked), `model` and `baseline` (scores), `arrivals`
(requests and labels), `counts` and `history` (what is known at a look), `screen` and `judging`
(what the judge says of it), `world` (what the state machine sees) and `outcome`.

Not simulated: pods that start slowly or fail, members that go away, scrapes that are late, users
that stick to a version, and traffic, prevalence or quality that change during the trial.
"""

from .baseline import Effect, ModelError, canary, fit, misfits, values
from .model import ScoreModel
from .outcome import ENDS, INCONCLUSIVE, OPEN, PROMOTED, ROLLED_BACK, Outcomes, Spread
from .run import Simulation, runs_at_once
from .trial import Member, Traffic, Trial, UnsupportedError, yardsticks_of
from .yardstick import Yardstick

__all__ = [
    "ENDS",
    "INCONCLUSIVE",
    "OPEN",
    "PROMOTED",
    "ROLLED_BACK",
    "Effect",
    "Member",
    "ModelError",
    "Outcomes",
    "ScoreModel",
    "Simulation",
    "Spread",
    "Traffic",
    "Trial",
    "UnsupportedError",
    "Yardstick",
    "canary",
    "fit",
    "misfits",
    "runs_at_once",
    "values",
    "yardsticks_of",
]
