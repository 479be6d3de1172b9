"""``spec.rollout.analysis``: by which metrics, and how strictly, two versions are compared."""

import enum

import pydantic

from .fields import Amount, Fraction, Limit, Model, Name, Word, int32, rules


class RollbackOn(enum.StrEnum):
    """What counts as bad enough (statistics.md 0.4: zone and strict)."""

    WORSE = "Worse"
    WORSE_THAN_MARGIN = "WorseThanMargin"


class PromoteOn(enum.StrEnum):
    """What counts as good enough."""

    NOT_WORSE = "NotWorse"
    BETTER = "Better"


class MetricType(enum.StrEnum):
    """A model-quality metric."""

    ACCURACY = "Accuracy"
    PRECISION = "Precision"
    RECALL = "Recall"
    F1 = "F1"
    FBETA = "FBeta"
    ROC_AUC = "ROCAUC"
    AVERAGE_PRECISION = "AveragePrecision"
    LOG_LOSS = "LogLoss"
    BRIER = "Brier"
    COST = "Cost"


class Mode(enum.StrEnum):
    """Whether something that is watched has a say."""

    DECIDE = "Decide"
    DRY_RUN = "DryRun"


class Average(enum.StrEnum):
    """How a metric of several classes becomes one number."""

    BINARY = "Binary"
    MACRO = "Macro"
    MICRO = "Micro"
    WEIGHTED = "Weighted"


class MultiClass(enum.StrEnum):
    """Which comparisons make the ROC AUC of several classes."""

    ONE_VS_REST = "OneVsRest"
    ONE_VS_ONE = "OneVsOne"


class CostEntry(Model):
    """What one kind of row costs."""

    label: Word = pydantic.Field(description="The true class.")
    predicted: Word = pydantic.Field(description="The predicted class.")
    cost: Amount = pydantic.Field(description='What such a row costs, for instance "5".')


class Costs(Model):
    """What rows cost: of one class against the others by two numbers, else by a matrix."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                (
                    "has(self.matrix) ? !has(self.falsePositive) && !has(self.falseNegative)"
                    " : has(self.falsePositive) && has(self.falseNegative)"
                ),
                "give either matrix, or both falsePositive and falseNegative",
            ),
            (
                (
                    "(has(self.falsePositive) && double(self.falsePositive) > 0.0)"
                    " || (has(self.falseNegative) && double(self.falseNegative) > 0.0)"
                    " || (has(self.matrix) && self.matrix.exists(entry, double(entry.cost) > 0.0))"
                ),
                "at least one cost must be above 0",
            ),
        )
    )

    false_positive: Amount | None = pydantic.Field(
        None, description="What it costs to take a row of another class for the positive one."
    )
    false_negative: Amount | None = pydantic.Field(
        None, description="What it costs to take a row of the positive class for another one."
    )
    matrix: tuple[CostEntry, ...] | None = pydantic.Field(
        None,
        description="Costs by true and predicted class; pairs that are left out cost nothing.",
        min_length=1,
        max_length=256,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["label", "predicted"],
        },
    )


_LARGER_COST = (
    "has(self.costs.falsePositive) && double(self.margin) < double(self.costs.falsePositive)"
    " || has(self.costs.falseNegative) && double(self.margin) < double(self.costs.falseNegative)"
    " || has(self.costs.matrix)"
    " && self.costs.matrix.exists(entry, double(self.margin) < double(entry.cost))"
)
_AVERAGED = "['Precision', 'Recall', 'F1', 'FBeta', 'ROCAUC', 'AveragePrecision']"
_BY_MATRIX = "self.type == 'Cost' && has(self.costs) && has(self.costs.matrix)"

_METRIC_RULES = rules(
    (
        f"double(self.margin) < 1.0 || (self.type == 'Cost' && has(self.costs) && ({_LARGER_COST}))",
        "margin must be less than 1, or of a Cost less than its largest cost",
    ),
    (
        (
            "!has(self.floor) || self.type in ['LogLoss', 'Brier', 'Cost']"
            " || double(self.floor) < 1.0"
        ),
        "floor must be less than 1, except of LogLoss, Brier and Cost",
    ),
    (
        f"self.average == 'Binary' || self.type in {_AVERAGED}",
        "average is only for Precision, Recall, F1, FBeta, ROCAUC and AveragePrecision",
    ),
    (
        "self.average != 'Micro' || !(self.type in ['ROCAUC', 'AveragePrecision'])",
        "average Micro is not known for ROCAUC and AveragePrecision",
    ),
    (
        "!has(self.class) || self.average == 'Binary'",
        "class is for average Binary: the other averages are over all classes",
    ),
    (
        f"!has(self.class) || !(self.type == 'Accuracy' || ({_BY_MATRIX}))",
        "class is neither for Accuracy nor for a Cost by matrix: they are of all classes",
    ),
    (
        "!has(self.multiClass) || (self.type == 'ROCAUC' && self.average != 'Binary')",
        "multiClass is only for ROCAUC with average Macro or Weighted",
    ),
    ("!has(self.beta) || self.type == 'FBeta'", "beta is only for FBeta"),
    ("has(self.costs) == (self.type == 'Cost')", "costs is needed for Cost, and only there"),
)


class Metric(Model):
    """One metric by which the versions are compared."""

    model_config = pydantic.ConfigDict(json_schema_extra=_METRIC_RULES)

    name: Name = pydantic.Field(description="The metric's name in status, events and dashboards.")
    type: MetricType = pydantic.Field(
        description="Which metric. Of LogLoss, Brier and Cost less is better, of the others more."
    )
    mode: Mode = pydantic.Field(
        Mode.DECIDE,
        description="DryRun: judged and shown, but it neither promotes nor holds nor rolls back, and takes nothing of the chance of error from the others.",
    )
    average: Average = pydantic.Field(
        Average.BINARY,
        description="Binary: of the positive class. Macro, Micro, Weighted: of all classes, as in scikit-learn. Accuracy, LogLoss, Brier and Cost know no other than Binary.",
    )
    class_: Word | None = pydantic.Field(
        None,
        alias="class",
        description="The one class that is judged, against all others; model.decision.positiveLabel when left out.",
    )
    multi_class: MultiClass | None = pydantic.Field(
        None,
        description="How ROCAUC compares several classes. OneVsRest (when left out): each with all others. OneVsOne: each with each other one.",
    )
    beta: Amount | None = pydantic.Field(
        None,
        description='Of FBeta: recall counts beta times beta as much as precision; "1" when left out, which is F1.',
        json_schema_extra=rules(
            (
                "double(self) > 0.0 && double(self) < 100.0",
                "beta must lie between 0 and 100, both excluded",
            )
        ),
    )
    costs: Costs | None = pydantic.Field(
        None, description="Of Cost: what a row costs. The metric is the mean cost of a row."
    )
    margin: Amount = pydantic.Field(
        description='How much worse than stable the canary may be and still be promoted, in units of the metric, for instance "0.02".',
        json_schema_extra=rules(("double(self) > 0.0", "margin must be above 0")),
    )
    floor: Amount | None = pydantic.Field(
        None,
        description="Roll back when the canary is proven to be below this value while stable is not. Of LogLoss, Brier and Cost it is a ceiling: when the canary is proven to be above it.",
        json_schema_extra=rules(("double(self) > 0.0", "floor must be above 0")),
    )


PLACEHOLDERS = (
    "namespace",
    "deployment",
    "revision",
    "stableRevision",
    "rollout",
    "window",
)
"""What a guard's query may name between double braces (docs/guards.md)."""

_WITHOUT_PLACEHOLDERS = "self" + "".join(f".replace('{{{{{each}}}}}', '')" for each in PLACEHOLDERS)


class Guard(Model):
    """A limit that the canary must keep in every member, asked of the member's Prometheus."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            ("has(self.max) != has(self.min)", "exactly one of max and min must be set")
        )
    )

    name: Name = pydantic.Field(description="The guard's name in status, events and dashboards.")
    mode: Mode = pydantic.Field(
        Mode.DECIDE,
        description="DryRun: asked and shown, but it neither holds nor rolls back.",
    )
    query: str = pydantic.Field(
        description="PromQL that gives one number about the canary, evaluated in every member. {{namespace}}, {{deployment}}, {{revision}}, {{stableRevision}}, {{rollout}} and {{window}} are filled in. It sees only series of the ModelDeployment's own namespace.",
        min_length=1,
        max_length=1024,
        json_schema_extra=rules(
            (
                f"!{_WITHOUT_PLACEHOLDERS}.contains('{{{{')",
                "query knows the placeholders "
                + ", ".join(f"{{{{{each}}}}}" for each in PLACEHOLDERS)
                + " and no others",
            )
        ),
    )
    max_: Limit | None = pydantic.Field(
        None, alias="max", description="The value must not be above this."
    )
    min_: Limit | None = pydantic.Field(
        None, alias="min", description="The value must not be below this."
    )
    for_seconds: int = int32(
        60, "The canary is rolled back after it was beyond the limit for so long.", ge=0, le=3600
    )
    min_requests: int = int32(
        100,
        "As long as the canary took fewer requests in a member in this rollout, answered or failed, the guard neither rolls back by it nor lets pass.",
        ge=0,
        le=1000000,
    )


class Analysis(Model):
    """How the two versions are compared."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "self.metrics.size() > 0 || (has(self.guards) && self.guards.exists(guard, guard.mode == 'Decide'))",
                "without metrics at least one guard with mode Decide is needed: something must be able to roll back",
            )
        )
    )

    interval_seconds: int = int32(10, "Seconds between two looks at the evidence.", ge=1, le=3600)
    confidence: Fraction = pydantic.Field(
        "0.95",
        description="One minus the largest chance of a wrong verdict, over all looks together.",
        json_schema_extra=rules(
            (
                "double(self) >= 0.5 && double(self) <= 0.9999",
                "confidence must lie between 0.5 and 0.9999",
            )
        ),
    )
    rollback_on: RollbackOn = pydantic.Field(
        RollbackOn.WORSE,
        description="Worse: roll back when the canary is proven worse at all. WorseThanMargin: only when proven worse by more than the margin.",
    )
    promote_on: PromoteOn = pydantic.Field(
        PromoteOn.NOT_WORSE,
        description="NotWorse: promote when the canary is proven not to be worse by the margin. Better: only when it is proven better at all.",
    )
    min_label_coverage: Fraction = pydantic.Field(
        "0.2", description="Hold while a smaller share of the predictions has a label."
    )
    metrics: tuple[Metric, ...] = pydantic.Field(
        (
            Metric(name="f1", type=MetricType.F1, margin="0.02"),
            Metric(name="auc", type=MetricType.ROC_AUC, margin="0.01"),
        ),
        description="All that decide must be good to promote; any one of them that is bad rolls back. [] for a trial on health and guards only.",
        max_length=8,
        json_schema_extra={
            # A list by keys that server-side apply empties is dropped as a whole, and the default
            # would take its place.
            "x-kubernetes-list-type": "atomic",
            **rules(
                (
                    "self.all(metric, self.exists_one(other, other.name == metric.name))",
                    "two metrics have the same name",
                ),
                (
                    "self.size() == 0 || self.exists(metric, !has(metric.mode) || metric.mode == 'Decide')",
                    "at least one metric must have mode Decide; for a trial on guards only leave out all (metrics: [])",
                ),
            ),
        },
    )
    guards: tuple[Guard, ...] = pydantic.Field(
        (),
        description="Limits that the canary must keep in every member. One that is breached rolls back; steps and promotion wait until all are kept.",
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
