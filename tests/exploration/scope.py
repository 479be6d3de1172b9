"""How much may happen: what is explored is everything within these bounds."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from assay.api.model_deployment import ModelDeploymentSpec

SEVEN, EIGHT, NINE = "7" * 10, "8" * 10, "9" * 10
"""Revisions: the one that serves, and those that follow it."""

MEMBERS = ("east", "west")

_STEPS = [{"weight": 5}, {"weight": 20, "minSeconds": 60}, {"weight": 50}]

WAVES: tuple[dict[str, Any], ...] = (
    {
        "name": "pilot",
        "clusterSelector": {"matchLabels": {"name": MEMBERS[0]}},
        "soakSeconds": 30,
    },
)
"""The first member is a wave of its own, the other one the rest."""


class Budget(NamedTuple):
    """How often each thing may still happen. What is not here may happen at any time.

    Attributes
    ----------
    changes
        The spec names another revision.
    requests
        A person asks for something.
    losses
        A member goes away.
    breaks
        A pod that was ready is not any more.
    faults
        A look that goes wrong: writes lost, the operator killed, in any combination.
    rebuilt
        The hub is lost and a new one adopts what members remember.
    """

    changes: int = 0
    requests: int = 0
    losses: int = 0
    breaks: int = 0
    faults: int = 0
    rebuilt: int = 0


@dataclass(frozen=True, eq=False)
class Scope:
    """One exploration.

    Attributes
    ----------
    revisions
        What the spec may name.
    verbs
        What a person may ask; "full" is promote --full.
    replicas
        Pods of a whole revision in each member. With three the canary has 1, 1, 2 and then 3.
    """

    name: str
    budget: Budget
    revisions: tuple[str, ...] = (SEVEN, EIGHT)
    verbs: tuple[str, ...] = ("abort", "pause", "resume", "promote", "full")
    waves: tuple[dict[str, Any], ...] = ()
    replicas: int = 1
    specs: dict[str, ModelDeploymentSpec] = field(default_factory=dict, repr=False)

    @property
    def symmetric(self) -> bool:
        """Whether the members may change places: not if one has a wave of its own.

        `decide` looks at names only to order lists and, with a maxConcurrency below their number, to
        choose who comes first; here it is above.
        """
        return not self.waves

    @property
    def whole_records(self) -> bool:
        """Whether a hub may have to read all that members remember."""
        return self.budget.rebuilt > 0

    def spec(self, revision: str) -> ModelDeploymentSpec:
        """Return the spec that names `revision`."""
        if revision not in self.specs:
            self.specs[revision] = ModelDeploymentSpec.model_validate(
                {
                    "model": {
                        "uri": f"https://models.example.com/fraud-{revision[0]}.skops",
                        "version": revision[0],
                        "digest": "sha256:" + revision[0] * 64,
                    },
                    "traffic": {"parentRefs": [{"name": "models"}]},
                    "rollout": {
                        "canary": {"steps": _STEPS},
                        "waves": list(self.waves),
                        "progressDeadlineSeconds": 120,
                        "maxSeconds": 300,
                        "scaleDownDelaySeconds": 30,
                    },
                }
            )
        return self.specs[revision]


SCOPES = (
    Scope("writes lost, operator killed", Budget(changes=1, faults=2)),
    Scope("a person", Budget(changes=1, requests=1)),
    Scope(
        "a person aborts, writes lost", Budget(changes=1, requests=1, faults=1), verbs=("abort",)
    ),
    Scope("a member away", Budget(changes=1, losses=1)),
    Scope("pods that break", Budget(changes=1, breaks=1)),
    Scope("yet another version, or back", Budget(changes=2), revisions=(SEVEN, EIGHT, NINE)),
    Scope("the hub lost", Budget(changes=1, rebuilt=1)),
    Scope("waves, writes lost", Budget(changes=1, faults=1), waves=WAVES),
    Scope("waves, a member away", Budget(changes=1, losses=1), waves=WAVES),
    Scope("waves, pods that break", Budget(changes=1, breaks=1), waves=WAVES),
    Scope("waves, a person", Budget(changes=1, requests=1), waves=WAVES),
    Scope("three pods each, pods that break", Budget(changes=1, breaks=1), replicas=3),
    Scope("three pods each, a person", Budget(changes=1, requests=1), verbs=("full",), replicas=3),
    Scope("three pods each, waves", Budget(changes=1), waves=WAVES, replicas=3),
    Scope("three pods each, the hub lost", Budget(changes=1, rebuilt=1), replicas=3),
)
"""What `make explore` goes through."""

QUICK = (
    Scope("quick: writes lost, operator killed", Budget(changes=1, faults=1)),
    Scope("quick: pods that break", Budget(changes=1, breaks=1)),
    Scope("quick: waves", Budget(changes=1), waves=WAVES),
    Scope("quick: the hub lost", Budget(changes=1, rebuilt=1)),
    Scope("quick: three pods each", Budget(changes=1), replicas=3),
)
"""What `make test` goes through."""
