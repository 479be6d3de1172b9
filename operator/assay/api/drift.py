"""How the version that serves is watched between rollouts. No rollout is decided by it."""

import pydantic

from .fields import Fraction, Model, int32, rules

DAY_SECONDS = 86_400


class Drift(Model):
    """What counts as drift of inputs and as decay of quality."""

    period_seconds: int = int32(
        DAY_SECONDS,
        "After how many seconds traffic repeats itself: a day. Inputs are compared with training over a whole period, and with the same part of earlier periods. Shorter knows sooner, and takes the time of day for drift where traffic has one.",
        ge=10,
        le=604_800,
    )
    margin: Fraction = pydantic.Field(
        "0.05",
        description="F1 may be lower than on the labelled rows of the artifact's reference by so much, at any hour, before it counts as decayed.",
        json_schema_extra=rules(("double(self) > 0.0", "margin must be above 0")),
    )
