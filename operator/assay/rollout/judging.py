"""What is asked of the judge in a trial: whoever looks at it, and whenever, asks the same. Pure.

The operator asks at each look; a report asks again what it would have heard at earlier ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.model_deployment import ModelDeploymentSpec, Rollout
from assay.evidence import Evidence, MemberEvidence, combine, moments
from assay.judge import Judgement, judge

from .settings import metric_specs, policy

GROWTH_SECONDS = 60.0
"""Age of a trial from which its labels so far tell how many there will be."""


@dataclass(frozen=True)
class Question:
    """A trial, as far as the judge must know it.

    Attributes
    ----------
    spec
        Names the positive class.
    settings
        Of the rollout, as they were when it started.
    stable, canary
        Revisions.
    members
        How many take part.
    weights
        The canary's asked share (0..1) by step; `None` where there is no ratio to test.
    by_user
        Whether routes draw lots for users, not for requests.
    """

    spec: ModelDeploymentSpec
    settings: Rollout
    stable: str
    canary: str
    members: int
    weights: Mapping[int, float] | None
    by_user: bool

    @classmethod
    def of(cls, spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> Self | None:
        """Return the question of the running trial; `None` if there is nothing to compare."""
        rollout = status.rollout
        if rollout is None or status.stable is None or status.canary is None:
            return None
        # A Service divides connections, not requests: what it gives is no ratio to test.
        weights = (
            None
            if rollout.by_pods
            else {index: step.weight / 100 for index, step in enumerate(rollout.steps)}
        )
        return cls(
            spec,
            rollout.settings,
            status.stable.revision,
            status.canary.revision,
            len(status.clusters),
            weights,
            rollout.sticky_by is not None,
        )

    def evidence(
        self,
        known: Mapping[str, MemberEvidence],
        past: Mapping[int, Mapping[str, MemberEvidence]],
        built: moments.Built | None = None,
    ) -> Evidence:
        """Return what is judged; arguments as of `judgement`."""
        arms = self.stable, self.canary
        strata = combine(known, *arms, weights=self.weights).strata
        history = moments.history(past, known, *arms, weights=self.weights, built=built)
        return Evidence(strata, history)

    def judgement(
        self,
        known: Mapping[str, MemberEvidence],
        past: Mapping[int, Mapping[str, MemberEvidence]],
        elapsed_seconds: float,
        built: moments.Built | None = None,
    ) -> Judgement:
        """Return what the judge says.

        Parameters
        ----------
        known
            What each member says now.
        past
            What each said at earlier moments (`moments.known_of_all`).
        elapsed_seconds
            Since the evidence began.
        built
            Moments that an earlier call has made, brought up to date.

        Raises
        ------
        ValueError
            For settings that exclude each other, and `EvidenceError` for counts that are none.
        """
        evidence = self.evidence(known, past, built)
        analysis = self.settings.analysis
        growth = None
        if elapsed_seconds > GROWTH_SECONDS:
            growth = self.settings.max_seconds / elapsed_seconds
        how = policy(analysis, members=self.members, growth=growth, by_user=self.by_user)
        return judge(metric_specs(self.spec, analysis, evidence), how, evidence)
