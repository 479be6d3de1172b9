"""The state machine of rollouts: (spec, status, what was seen, now) to the next status. Pure."""
