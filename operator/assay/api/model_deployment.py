"""``ModelDeployment.spec``: one model, where it serves, how a new version is tried.

Only fields that work are here; the schema grows additively (docs/decisions).
"""

import dataclasses
import enum
from typing import Annotated

import pydantic

from .analysis import Analysis
from .autoscaling import AUTOSCALING_RULES, SERVING_RULES, Autoscaling
from .drift import Drift
from .fields import Digest, Fraction, Model, Name, ObjectName, Word, int32, rules
from .placement import PLACEMENT_RULES, ClusterSelector, Placement
from .resources import Image, Quantity, Resources


class ModelFormat(enum.StrEnum):
    """How the artifact is stored."""

    SKOPS = "Skops"
    ONNX = "Onnx"
    JOBLIB = "Joblib"
    """Loading it runs code from the artifact; only with `unsafe: Allow`, and if the operator permits."""


class Unsafe(enum.StrEnum):
    """Whether code from the artifact may run."""

    REFUSE = "Refuse"
    ALLOW = "Allow"


class Score(enum.StrEnum):
    """What the scores of a model mean."""

    PROBABILITY = "Probability"
    DECISION = "Decision"


class Decision(Model):
    """How scores become a predicted class. Part of the revision: a new threshold is a new trial."""

    positive_label: Word | None = pydantic.Field(
        None,
        description="The class whose score is compared with the threshold; the last one of the model's classes when left out.",
    )
    threshold: Fraction | None = pydantic.Field(
        None,
        description='Predict the positive class from this probability on, as a decimal string such as "0.37"; what the model itself decides when left out.',
    )


URI = Annotated[
    str,
    pydantic.Field(max_length=1024, pattern=r"^(https?|s3|gs|az|abfss?|pvc|file)://.+$"),
]
"""Where an artifact or its signature is."""


_IN_CLAIM = r"^pvc://[a-z0-9]([-.a-z0-9]*[a-z0-9])?/[^/].*$"
_OUT = r"(^|/)[.][.](/|$)"


def _uri_rules(field: str, uri: str) -> tuple[tuple[str, str], ...]:
    """Return the CEL rules of a URI; `uri` is its CEL expression."""
    return (
        (
            f"!{uri}.matches('^https?://[^/]*@')",
            f"{field} must not hold a user or password: name a Secret in model.credentials",
        ),
        (
            # RE2 knows no lookahead, so the way out of the claim has an expression of its own.
            f"!{uri}.startsWith('pvc://') || ({uri}.matches('{_IN_CLAIM}') && !{uri}.matches('{_OUT}'))",
            f"{field} of a volume must read pvc://CLAIM/PATH, without '..'",
        ),
    )


class Credentials(Model):
    """A Secret in every member that opens the artifact's store. It is never read by the operator."""

    secret_name: ObjectName = pydantic.Field(
        description="Name of a Secret in the members, in the namespace of the ModelDeployment. Keys: token, or username and password, for https; ca.crt for a private authority; AWS_..., AZURE_... and GOOGLE_APPLICATION_CREDENTIALS (the JSON itself) for buckets. Only the container that fetches gets them."
    )


class Signature(Model):
    """Who must have signed the artifact (OpenSSF model-signing, key mode)."""

    public_key_secret_name: ObjectName = pydantic.Field(
        description="Name of a Secret in the members whose every key is a public key in PEM (ECDSA P-256, P-384 or P-521). One of them must have signed."
    )
    uri: URI | None = pydantic.Field(
        None,
        description="Where the signature is; the artifact's uri with .sig behind its path when left out.",
    )


class ModelSource(Model):
    """Which artifact serves."""

    uri: URI = pydantic.Field(
        description="Where the artifact is: https, s3, gs, az (or abfs), pvc://CLAIM/PATH, file (in the serving image) or http. The digest is checked, so the way it came does not matter."
    )
    version: Word = pydantic.Field(description="The version as people call it; free text.")
    digest: Digest = pydantic.Field(
        description="SHA-256 of the artifact; checked before it is loaded."
    )
    format: ModelFormat = pydantic.Field(
        ModelFormat.SKOPS,
        description="How the artifact is stored. Joblib runs code from it on load: it needs unsafe: Allow, and an operator that permits it.",
    )
    unsafe: Unsafe = pydantic.Field(
        Unsafe.REFUSE,
        description="Allow: code from a Joblib artifact may run in the serving pods. The condition UnsafeModel then says so.",
    )
    decision: Decision | None = pydantic.Field(
        None, description="How scores become a predicted class."
    )
    score: Score | None = pydantic.Field(
        None,
        description="What scores mean: the probability of a class, or the distance that a model without probabilities decides by. What the model has when left out. Versions whose scores mean different things are not compared by AUC.",
    )
    credentials: Credentials | None = pydantic.Field(
        None, description="What opens the store in which the artifact and its signature are."
    )
    signature: Signature | None = pydantic.Field(
        None,
        description="Who must have signed the artifact; checked when a pod fetches it. No signature is asked for when left out.",
    )


_MODEL_RULES = (
    (
        "!has(self.format) || self.format != 'Joblib' || (has(self.unsafe) && self.unsafe == 'Allow')",
        "model.format Joblib runs code from the artifact on load: it needs model.unsafe: Allow, and an operator that permits it",
    ),
    (
        "!has(self.unsafe) || self.unsafe == 'Refuse' || (has(self.format) && self.format == 'Joblib')",
        "model.unsafe: Allow is for model.format Joblib: no other format runs code",
    ),
    (
        "!has(self.score) || self.score != 'Decision' || !has(self.decision) || !has(self.decision.threshold)",
        "model.decision.threshold is a probability and does not go with model.score Decision",
    ),
    *_uri_rules("model.uri", "self.uri"),
    *(
        (f"!has(self.signature) || !has(self.signature.uri) || ({rule})", message)
        for rule, message in _uri_rules("model.signature.uri", "self.signature.uri")
    ),
)


class Serving(Model):
    """The pods that serve."""

    image: Image | None = pydantic.Field(
        None, description="Image of the model server; the operator's own choice when left out."
    )
    replicas: int = int32(
        1,
        "Pods per revision over all members, divided by placement. With placement.objective Spread every member that serves gets at least one. Left out with autoscaling.",
        ge=1,
        le=1000,
    )
    autoscaling: Autoscaling | None = pydantic.Field(
        None,
        description="The number of pods follows the load: a HorizontalPodAutoscaler per member and revision. A fixed number when left out.",
        json_schema_extra=rules(*AUTOSCALING_RULES),
    )
    resources: Resources = pydantic.Field(Resources(), description="Resources of each pod.")

    @property
    def places(self) -> int:
        """Pods per revision, over all members, that placement has to find places for."""
        return self.autoscaling.max_replicas if self.autoscaling else self.replicas


class ParentRef(Model):
    """A Gateway in the members, in the namespace of the ModelDeployment unless named otherwise."""

    name: ObjectName = pydantic.Field(description="Name of the Gateway.")
    namespace: Name | None = pydantic.Field(None, description="Namespace of the Gateway.")
    section_name: ObjectName | None = pydantic.Field(None, description="Listener of the Gateway.")


Token = Annotated[
    str,
    pydantic.Field(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z!#$%&'*+.^_`|~-]+$"),
]
"""The name of a header or a cookie (a token of RFC 9110)."""


class StickyBy(Model):
    """What names the user of a request. Exactly one field is set."""

    header: Token | None = pydantic.Field(
        None, description="Name of a header, for instance x-user-id; upper and lower case are one."
    )
    cookie: Token | None = pydantic.Field(
        None, description="Name of a cookie that clients bring; the Gateway gives none out."
    )

    @property
    def key(self) -> str:
        """The one of both that is set, ``header:<name>`` or ``cookie:<name>``."""
        return f"header:{self.header.lower()}" if self.header else f"cookie:{self.cookie}"


_STICKY_RULES = (
    (
        "has(self.header) != has(self.cookie)",
        "traffic.stickyBy needs either header or cookie, and not both",
    ),
    (
        "!has(self.header) || !(self.header.lowerAscii() in ['cookie', 'host'])",
        "traffic.stickyBy.header must name a header that tells users apart; for a cookie use traffic.stickyBy.cookie",
    ),
    (
        "!has(self.header) || !self.header.lowerAscii().startsWith('assay-')",
        "traffic.stickyBy.header must not start with assay-: those headers are set by the route",
    ),
)


class TrafficMode(enum.StrEnum):
    """What divides the requests between two versions."""

    GATEWAY = "Gateway"
    """A Gateway, by weights."""
    REPLICAS = "Replicas"
    """Nothing but a Service: the numbers of pods behind it do."""


class Traffic(Model):
    """How requests reach the pods."""

    mode: TrafficMode = pydantic.Field(
        TrafficMode.GATEWAY,
        description="Gateway: a Gateway divides the requests by the weights of the steps. Replicas: no gateway is needed; clients ask the Service named as the ModelDeployment, and the canary's share is that of its pods. An edit counts when the rollout that is under way is over.",
    )
    parent_refs: (
        Annotated[tuple[ParentRef, ...], pydantic.Field(min_length=1, max_length=8)] | None
    ) = pydantic.Field(
        None,
        description="Gateways that take the traffic, in every member. Required with mode Gateway.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    hostnames: tuple[Annotated[str, pydantic.Field(max_length=253)], ...] = pydantic.Field(
        (),
        description="Host names that the route answers to; every one of the Gateway's when empty.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    sticky_by: StickyBy | None = pydantic.Field(
        None,
        description="What names the user of a request: the same user stays with the same version, and is the unit of the trial. Needs Envoy Gateway 1.9 in the members. Edits count from the next rollout.",
        json_schema_extra=rules(*_STICKY_RULES),
    )

    @pydantic.model_validator(mode="after")
    def _has_a_gateway(self) -> "Traffic":
        if self.mode is TrafficMode.GATEWAY and not self.parent_refs:
            raise ValueError(_GATEWAY_NEEDED)
        return self


_GATEWAY_NEEDED = (
    "traffic.parentRefs must name a Gateway; where there is none write traffic.mode: Replicas"
)

_TRAFFIC_RULES = (
    ("self.mode != 'Gateway' || has(self.parentRefs)", _GATEWAY_NEEDED),
    (
        "self.mode != 'Replicas' || !has(self.parentRefs)",
        "traffic.parentRefs is for traffic.mode Gateway: with mode Replicas no gateway has a part in it, take parentRefs away",
    ),
    (
        "self.mode != 'Replicas' || self.hostnames.size() == 0",
        "traffic.hostnames is for traffic.mode Gateway: with mode Replicas clients ask a Service, take hostnames away",
    ),
    (
        "self.mode != 'Replicas' || !has(self.stickyBy)",
        "traffic.stickyBy needs a gateway: a Service knows connections and no users; use traffic.mode Gateway or take stickyBy away",
    ),
)

_LARGEST_SHARE = 50

_REPLICAS_RULES = (
    (
        "self.feedback.exposure != 'Gateway'",
        "feedback.exposure Gateway needs traffic.mode Gateway: with mode Replicas labels come to the ledger's Service, write exposure: Internal",
    ),
    (
        "!has(self.serving.autoscaling)",
        "serving.autoscaling does not go with traffic.mode Replicas: the numbers of pods make the shares, so they must stand still in a trial; write serving.replicas",
    ),
    (
        "self.rollout.canary.scale != 'Full'",
        "rollout.canary.scale Full does not go with traffic.mode Replicas: the canary's share is that of its pods, take scale away",
    ),
    (
        f"self.rollout.canary.steps.all(step, !has(step.weight) || step.weight <= {_LARGEST_SHARE})",
        f"rollout.canary.steps[].weight is at most {_LARGEST_SHARE} with traffic.mode Replicas: for more the canary would need more pods than stable has",
    ),
    (
        "!has(self.rollout.blueGreen) || self.rollout.blueGreen.previewHostnames.size() == 0",
        "rollout.blueGreen.previewHostnames needs traffic.mode Gateway: a Service has no host names, take previewHostnames away",
    ),
)
"""What mode Replicas excludes elsewhere in the spec."""


def _in_replicas_mode(rule: str) -> str:
    return f"self.traffic.mode != 'Replicas' || ({rule})"


class Storage(Model):
    """The volume of a member's ledger."""

    size: Quantity = pydantic.Field("1Gi", description="Size of the volume.")
    storage_class_name: ObjectName | None = pydantic.Field(
        None, description="StorageClass in the members; their default one when left out."
    )


class JoinBy(enum.StrEnum):
    """What a label names the prediction by that it belongs to."""

    RECEIPT = "Receipt"
    REQUEST_ID = "RequestId"


class MissingLabel(enum.StrEnum):
    """What it means that a prediction has no label when evidence is released."""

    IGNORE = "Ignore"
    NEGATIVE = "Negative"


class Exposure(enum.StrEnum):
    """From where labels may be sent."""

    INTERNAL = "Internal"
    GATEWAY = "Gateway"


class Feedback(Model):
    """How true labels come back. Edits count at once, also during a trial."""

    join_by: JoinBy = pydantic.Field(
        JoinBy.RECEIPT,
        description="Receipt: by the token that came with the prediction. RequestId: also by the id of the client's own request; servers then tell the ledger about every prediction.",
    )
    missing_label: MissingLabel = pydantic.Field(
        MissingLabel.IGNORE,
        description="Negative: no label by labelAgeSeconds means the negative class (fraud, churn, clicks). Binary models only.",
    )
    label_age_seconds: int = int32(
        0,
        "Labels count as evidence from this age of their request on, alike for both versions; later ones are counted as late. 0: at once.",
        ge=0,
        le=31536000,
    )
    label_window_seconds: int = int32(
        2592000,
        "A receipt may be labelled for this long; keys are changed this often.",
        ge=60,
        le=31536000,
    )
    exposure: Exposure = pydantic.Field(
        Exposure.INTERNAL,
        description="Gateway: labels may come through the Gateways too, and need the token in the Secret <name>-labels of each member.",
    )
    database_secret_name: ObjectName | None = pydantic.Field(
        None,
        description="Secret in each member whose key url names a PostgreSQL database (postgresql://user:password@host/name) that keeps the labels in place of a volume. One per member: two ledgers never share one.",
    )
    storage: Storage = pydantic.Field(
        Storage(),
        description="Where each member's ledger keeps the labels. Cannot be changed afterwards.",
        json_schema_extra=rules(
            ("self == oldSelf", "feedback.storage cannot be changed: the volumes are there already")
        ),
    )


class Pause(enum.StrEnum):
    """What ends a pause in the steps of a canary."""

    MANUAL = "Manual"


class CanaryStep(Model):
    """One step of a canary: a share of the traffic for at least some time, or a pause."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            ("has(self.weight) != has(self.pause)", "give a step exactly one of weight and pause"),
            (
                "!has(self.pause) || !has(self.minSeconds) || self.minSeconds == 0",
                "minSeconds is for a step with a weight: a pause lasts until somebody approves",
            ),
        )
    )

    weight: int | None = int32(
        None, "Percent of the requests that the canary gets. Left out in a pause.", ge=1, le=99
    )
    min_seconds: int = int32(0, "The step lasts at least this long.", ge=0, le=604800)
    pause: Pause | None = pydantic.Field(
        None,
        description="Manual: the weight stays as it was until a person approves (kubectl assay approve). The canary is judged meanwhile, and rolled back if it is worse; no deadline ends the trial.",
    )

    @pydantic.model_validator(mode="after")
    def _is_one_of_both(self) -> "CanaryStep":
        if (self.weight is None) == (self.pause is None):
            raise ValueError("give a step exactly one of weight and pause")
        return self


class CanaryScale(enum.StrEnum):
    """How many pods a canary has."""

    WEIGHT = "Weight"
    """As many as its share of the traffic needs."""
    FULL = "Full"
    """As many as stable, from the first step on."""


class Canary(Model):
    """The steps of a trial. The last one waits for the verdict."""

    steps: tuple[CanaryStep, ...] = pydantic.Field(
        (CanaryStep(weight=5), CanaryStep(weight=20), CanaryStep(weight=50)),
        description="Shares of the traffic in the order in which they are taken.",
        min_length=1,
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "atomic",
            **rules(
                (
                    "self.filter(step, has(step.weight)).map(step, step.weight).isSorted()",
                    "the weights of the steps must not decrease",
                ),
                (
                    "self.size() == 0 || has(self[0].weight) || !has(self[0].pause)",
                    "the first step needs a weight; to wait before it, set spec.paused: Promotion",
                ),
            ),
        },
    )

    scale: CanaryScale = pydantic.Field(
        CanaryScale.WEIGHT,
        description="Weight: in each member the canary has its share of the pods, rounded up; a step's weight is given there when they are ready, and all traffic when as many as stable has are. Full: as many as stable from the first step on; so it is always with serving.autoscaling.",
    )

    @property
    def weights(self) -> tuple[int, ...]:
        """Percent of the requests for the canary by step; in a pause that of the step before."""
        found: list[int] = []
        for step in self.steps:
            before = found[-1] if found else 0
            found.append(before if step.weight is None else step.weight)
        return tuple(found)

    def without_pauses(self) -> "Canary":
        """Return the steps as they go if everybody approves at once."""
        steps = tuple(step for step in self.steps if step.pause is None)
        return self.model_copy(update={"steps": steps})


class Approval(enum.StrEnum):
    """Whether a person has to say yes."""

    NONE = "None"
    MANUAL = "Manual"


class Wave(Model):
    """Members that get the canary together, after those of the waves before."""

    name: Name = pydantic.Field(description="The wave's name in status and events.")
    cluster_selector: ClusterSelector = pydantic.Field(
        ClusterSelector(),
        description="Which of the chosen members belong to it, unless an earlier wave has them; no labels mean all the others.",
    )
    max_concurrency: int = int32(
        500,
        "How many members get ready at the same time; the next one starts when one is ready.",
        ge=1,
        le=500,
    )
    soak_seconds: int = int32(
        0,
        "Every member of the wave serves the canary for this long without a break before the next wave starts, or the canary is promoted.",
        ge=0,
        le=604800,
    )
    approval: Approval = pydantic.Field(
        Approval.NONE,
        description="Manual: the wave starts only when a person approves it (kubectl assay approve). The first wave cannot ask for that: a manual pause among the steps does.",
    )
    max_failures: int = int32(
        0,
        "So many members of the wave may fail to get ready within progressDeadlineSeconds; with one more the canary is rolled back everywhere.",
        ge=0,
        le=499,
    )


class RolloutType(enum.StrEnum):
    """How traffic comes to a new version."""

    CANARY = "Canary"
    """By shares of the traffic, step by step."""
    BLUE_GREEN = "BlueGreen"
    """All of it at once, to a second full set of pods."""


Hostname = Annotated[str, pydantic.Field(min_length=1, max_length=253)]


class BlueGreen(Model):
    """A second full set of pods, seen by testers first, then by all at once."""

    preview_hostnames: tuple[Hostname, ...] = pydantic.Field(
        (),
        description="Host names under which only the new version answers during its trial. The switch then waits until every guard is kept on what comes there.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    approval: Approval = pydantic.Field(
        Approval.NONE,
        description="Manual: the live traffic is switched only when a person approves it (kubectl assay approve).",
    )
    scale_down_delay_seconds: int = int32(
        30,
        "The old set stays whole for at least this long behind the switched traffic, and a guard that is breached switches back.",
        ge=0,
        le=86400,
    )


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of a trial of any type: percent of the live traffic, least seconds, whether a person ends it."""

    weight: int
    min_seconds: int = 0
    pause: bool = False


ALL_TRAFFIC = 100
"""The weight at which the new version has the live traffic for itself."""

_ROLLOUT_RULES = (
    (
        "!has(self.blueGreen) || self.type == 'BlueGreen'",
        "rollout.blueGreen is for rollout.type BlueGreen",
    ),
    (
        "self.type != 'BlueGreen' || self.analysis.metrics.size() == 0",
        "rollout.type BlueGreen decides by health and guards only: its two versions never take the same traffic at the same time, so no metric can compare them; write analysis.metrics: [], or use type Canary",
    ),
)


class Rollout(Model):
    """How a new version is tried. Copied when a rollout starts: edits count from the next one."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(*_ROLLOUT_RULES))

    type: RolloutType = pydantic.Field(
        RolloutType.CANARY,
        description="Canary: the new version gets shares of the traffic, step by step. BlueGreen: a full second set gets all of it at once, and the old set stays warm; without metrics, so analysis.metrics must be [].",
    )
    canary: Canary = pydantic.Field(Canary(), description="The steps of a trial of type Canary.")
    blue_green: BlueGreen | None = pydantic.Field(
        None, description="How a trial of type BlueGreen goes."
    )
    waves: tuple[Wave, ...] = pydantic.Field(
        (),
        description="The order in which members get the canary. The first wave takes the steps and gets the verdict; the later ones follow with the last step's weight, and all keep stable beside it until the last one is in. Members in none of them follow at the end. One wave of all when empty.",
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            **rules(
                (
                    (
                        "self.filter(wave, !has(wave.clusterSelector)"
                        " || !has(wave.clusterSelector.matchLabels)"
                        " || wave.clusterSelector.matchLabels.size() == 0)"
                        ".all(wave, wave.name == self[self.size() - 1].name)"
                    ),
                    "only the last wave may have no clusterSelector.matchLabels: it takes all members that are left",
                )
            ),
        },
    )
    progress_deadline_seconds: int = int32(
        600, "The canary must be ready in every member within this time.", ge=10, le=86400
    )
    max_seconds: int = int32(
        86400,
        "Without a verdict by this time the canary is rolled back as inconclusive.",
        ge=60,
        le=7776000,
    )
    scale_down_delay_seconds: int = int32(
        30,
        "Pods that serve no more stay for this long, for connections that still end there.",
        ge=0,
        le=86400,
    )
    fast_track_revisions: int = int32(
        0,
        "When the spec goes back to one of so many revisions that were stable before the present one, that one takes no steps and waits for no verdict: it gets the last step's weight when it is ready, wave by wave, and is promoted with every guard kept. A rejected revision never does. 0: every revision is tried.",
        ge=0,
        le=100,
    )
    analysis: Analysis = pydantic.Field(
        Analysis(), description="How the two versions are compared."
    )

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of the trial; a blue-green one has two, before and after the switch."""
        if self.type is RolloutType.CANARY:
            shares = zip(self.canary.weights, self.canary.steps, strict=True)
            return tuple(Step(each, it.min_seconds, it.pause is not None) for each, it in shares)
        settings = self.blue_green or BlueGreen()
        return (
            Step(0, pause=settings.approval is Approval.MANUAL),
            Step(ALL_TRAFFIC, settings.scale_down_delay_seconds),
        )

    @property
    def preview_hostnames(self) -> tuple[str, ...]:
        """Where only the new version answers during its trial."""
        return self.blue_green.preview_hostnames if self.blue_green else ()


class Paused(enum.StrEnum):
    """What the operator must not do."""

    NONE = "None"
    PROMOTION = "Promotion"
    """The canary gets no more traffic than it has; a rollback goes on."""
    ALL = "All"
    """Nothing changes in the members."""


_HOSTS_RULE = (
    "!has(self.rollout.blueGreen) || !has(self.traffic.hostnames) || !self.rollout.blueGreen.previewHostnames.exists(host, host in self.traffic.hostnames)",
    "rollout.blueGreen.previewHostnames must be others than traffic.hostnames: there the live version answers",
)


class ModelDeploymentSpec(Model):
    """What the user asks for."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            *PLACEMENT_RULES,
            _HOSTS_RULE,
            *((_in_replicas_mode(rule), message) for rule, message in _REPLICAS_RULES),
        )
    )

    model: ModelSource = pydantic.Field(
        description="Which artifact serves.", json_schema_extra=rules(*_MODEL_RULES)
    )
    serving: Serving = pydantic.Field(
        Serving(), description="The pods that serve.", json_schema_extra=rules(*SERVING_RULES)
    )
    placement: Placement = pydantic.Field(
        Placement(), description="Which members serve, and how many replicas each."
    )
    traffic: Traffic = pydantic.Field(
        description="How requests reach the pods.", json_schema_extra=rules(*_TRAFFIC_RULES)
    )
    feedback: Feedback = pydantic.Field(
        Feedback(),
        description="How true labels come back.",
        json_schema_extra=rules(
            (
                "!has(self.missingLabel) || self.missingLabel == 'Ignore' || self.labelAgeSeconds > 0",
                "feedback.missingLabel Negative needs labelAgeSeconds: by when no label means the negative class",
            ),
            (
                "!has(self.labelAgeSeconds) || !has(self.labelWindowSeconds) || self.labelAgeSeconds <= self.labelWindowSeconds",
                "feedback.labelAgeSeconds must not be larger than labelWindowSeconds: older receipts are refused",
            ),
            (
                "has(self.databaseSecretName) == has(oldSelf.databaseSecretName)",
                "feedback.databaseSecretName cannot be added or taken away: the labels are elsewhere already",
            ),
        ),
    )
    rollout: Rollout = pydantic.Field(Rollout(), description="How a new version is tried.")
    drift: Drift = pydantic.Field(
        Drift(),
        description="What counts as drift and decay of the version that serves: the conditions DriftDetected and QualityDecayed. No rollout is decided by it.",
    )
    paused: Paused = pydantic.Field(
        Paused.NONE,
        description="Promotion: no trial begins, no step is taken and nothing is promoted; a rollback goes on. All: nothing is changed in the members, not even by a rollback or a change of replicas; verdicts are still shown. No deadline ends a trial meanwhile. A first start, which has nothing to compare with, is held by All only.",
    )
    revision_history_limit: int = int32(
        10, "How many retired revisions are remembered.", ge=0, le=100
    )
