"""Which metric to choose, and which not: one table of rules, read from the top.

Every rule whose condition holds is told. The first one that names a metric chooses what decides; a
metric that a later one names is watched beside it (``mode: DryRun``). docs/choosing-a-metric.md is
written from this table by tools/generate.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

from assay.judge.verdict import Average, MultiClass
from assay.judge.wording import percent
from assay_workbench.situation import Situation, Use

RARE = 0.1
"""Share of the positive class below which ROC curves look better than the work that they stand for."""
SKEWED = 0.3
"""Share of the rarer of two classes below which their errors are not weighed alike by accuracy."""
DOMINANT = 0.8
"""Share of one class from which on always guessing it looks good."""
UNLIKE_COSTS = 3.0
"""Ratio of the costs from which on F1 asks for another model than the costs do."""
FEW_ROWS = 300.0
"""Labelled rows of the rarest class in a day below which margins become wide."""


@dataclass(frozen=True)
class Choice:
    """A metric as ``spec.rollout.analysis.metrics`` names it."""

    type: str
    average: Average = Average.BINARY
    multi_class: MultiClass | None = None

    @property
    def name(self) -> str:
        """For the manifest: a DNS label."""
        names = {"ROCAUC": "auc", "AveragePrecision": "average-precision", "LogLoss": "log-loss"}
        name = names.get(self.type, self.type.lower())
        return name if self.average is Average.BINARY else f"{self.average.lower()}-{name}"


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes
    ----------
    name
        Stays the same, for programs.
    condition
        When it holds, in words; `holds` is the same as a function.
    advice
        What to do.
    why
        In plain words.
    source
        Where that is shown.
    use
        The metric to take, if it names one.
    against
        Types that should not decide then.
    """

    name: str
    condition: str
    holds: Callable[[Situation], bool]
    advice: str
    why: str
    source: str
    use: Choice | None = None
    against: tuple[str, ...] = ()


def _has_costs(situation: Situation) -> bool:
    return (
        situation.costs is not None
        and situation.judged is not None
        and situation.use is Use.DECISIONS
    )


def _without_costs(situation: Situation) -> bool:
    return situation.use is Use.DECISIONS and not _has_costs(situation)


def _ranks(situation: Situation) -> bool:
    return situation.use is Use.RANKING


def _unlike_costs(situation: Situation) -> bool:
    if situation.costs is None or not _has_costs(situation):
        return False
    low, high = sorted((situation.costs.false_positive, situation.costs.false_negative))
    return low == 0.0 or high / low >= UNLIKE_COSTS


def _few_rows(situation: Situation) -> bool:
    rows = situation.rarest_per_day
    return rows is not None and rows < FEW_ROWS


RULES = (
    Rule(
        "costs-are-known",
        "The predicted class is acted on, and the costs of both kinds of mistakes are known.",
        _has_costs,
        "Decide by Cost: the mean cost of a row.",
        "It is what you pay. Every other metric stands for costs that nobody stated, and may prefer the dearer model.",
        "Elkan, The foundations of cost-sensitive learning (2001); Drummond, Holte, Cost curves (2006)",
        Choice("Cost"),
    ),
    Rule(
        "probabilities-are-used",
        "Somebody reckons with the probability itself.",
        lambda situation: situation.use is Use.PROBABILITIES,
        "Decide by Brier: the mean squared error of the probabilities.",
        "It is lowest for the true probabilities, so a model cannot gain by being too sure. A row costs at most 1 (2 with several classes), so no single row decides.",
        "Brier (1950); Gneiting, Raftery, Strictly proper scoring rules, prediction, and estimation (2007)",
        Choice("Brier"),
    ),
    Rule(
        "ranking-of-rare-rows",
        f"Rows are taken by score, and less than {percent(RARE)} are of the positive class.",
        lambda situation: _ranks(situation) and situation.binary and situation.prevalence < RARE,
        "Decide by AveragePrecision.",
        "It asks how many of the rows at the top are right, which is the work that comes of the list.",
        "Davis, Goadrich, The relationship between precision-recall and ROC curves (2006); Saito, Rehmsmeier, The precision-recall plot is more informative than the ROC plot (2015)",
        Choice("AveragePrecision"),
    ),
    Rule(
        "ranking",
        f"Rows are taken by score, and {percent(RARE)} or more are of the positive class.",
        lambda situation: _ranks(situation) and situation.binary and situation.prevalence >= RARE,
        "Decide by ROCAUC.",
        "It is the chance that a row of the class has a higher score than another one. It needs no threshold, and does not move when the share of the class does.",
        "Fawcett, An introduction to ROC analysis (2006)",
        Choice("ROCAUC"),
    ),
    Rule(
        "ranking-of-several-classes",
        "Rows of more than two classes are ranked.",
        lambda situation: _ranks(situation) and not situation.binary,
        "Decide by ROCAUC with average Macro and multiClass OneVsOne.",
        "Each class is compared with each other one, so a frequent class does not hide the others.",
        "Hand, Till, A simple generalisation of the area under the ROC curve (2001)",
        Choice("ROCAUC", Average.MACRO, MultiClass.ONE_VS_ONE),
    ),
    Rule(
        "two-classes-of-unlike-size",
        f"The predicted class is acted on, costs are not known, and the rarer of two classes has less than {percent(SKEWED)} of the rows.",
        lambda situation: (
            _without_costs(situation) and situation.binary and situation.rarest[1] < SKEWED
        ),
        "Decide by F1 of the class that matters.",
        "It asks for few false alarms and few misses of that class, and gives nothing for the many easy rows of the other one.",
        "van Rijsbergen, Information retrieval (1979); Powers, Evaluation (2011)",
        Choice("F1"),
    ),
    Rule(
        "two-classes-of-like-size",
        f"The predicted class is acted on, costs are not known, and both classes have {percent(SKEWED)} of the rows or more.",
        lambda situation: (
            _without_costs(situation) and situation.binary and situation.rarest[1] >= SKEWED
        ),
        "Decide by Accuracy.",
        "It counts every mistake once. With classes of like size no guess looks good, and of all metrics it needs the fewest labels.",
        "Hand, Measuring classifier performance (2009)",
        Choice("Accuracy"),
    ),
    Rule(
        "several-classes-of-unlike-size",
        "The predicted class is acted on, costs are not known, and the rarest of several classes has less than half of an even share.",
        lambda situation: _without_costs(situation) and not situation.binary and situation.uneven,
        "Decide by F1 with average Macro.",
        "Every class counts the same, however few rows it has.",
        "Sokolova, Lapalme, A systematic analysis of performance measures for classification tasks (2009)",
        Choice("F1", Average.MACRO),
        against=("F1 Weighted",),
    ),
    Rule(
        "several-classes-of-like-size",
        "The predicted class is acted on, costs are not known, and no class has less than half of an even share.",
        lambda situation: (
            _without_costs(situation) and not situation.binary and not situation.uneven
        ),
        "Decide by Accuracy.",
        "Every mistake counts once, and it needs the fewest labels.",
        "Sokolova, Lapalme (2009)",
        Choice("Accuracy"),
    ),
    Rule(
        "accuracy-under-imbalance",
        f"One class has {percent(DOMINANT)} of the rows or more.",
        lambda situation: situation.commonest[1] >= DOMINANT,
        "Do not decide by Accuracy.",
        "To say the frequent class of every row already scores as much as its share, and to find none of the others hardly shows.",
        "Provost, Fawcett, Kohavi, The case against accuracy estimation (1998)",
        against=("Accuracy",),
    ),
    Rule(
        "roc-auc-under-imbalance",
        f"There are two classes, and less than {percent(RARE)} of the rows are of the positive one.",
        lambda situation: situation.binary and situation.prevalence < RARE,
        "Do not decide by ROCAUC; take AveragePrecision where a ranking is judged.",
        "A false positive rate of 1 % sounds low, but is more false alarms than there are positive rows. ROC AUC hardly sees that, average precision does.",
        "Davis, Goadrich (2006); Saito, Rehmsmeier (2015)",
        against=("ROCAUC",),
    ),
    Rule(
        "f1-against-costs",
        f"One kind of mistake costs {UNLIKE_COSTS:g} times as much as the other, or more.",
        _unlike_costs,
        "Do not decide by F1 or Accuracy.",
        "They take both kinds of mistakes for equally bad, and would prefer a model that you pay more for.",
        "Elkan (2001)",
        against=("F1", "Accuracy"),
    ),
    Rule(
        "threshold-follows-costs",
        "The costs of both kinds of mistakes are known.",
        lambda situation: _has_costs(situation) and situation.binary,
        "Set model.decision.threshold by the costs.",
        "A model's own rule, probability above one half, presumes equal costs. assay evaluate names the cheapest threshold of your data.",
        "Elkan (2001)",
    ),
    Rule(
        "log-loss-has-no-bound",
        "Somebody reckons with the probability itself.",
        lambda situation: situation.use is Use.PROBABILITIES,
        "Do not decide by LogLoss alone; watch it.",
        "One row that was surely wrong can outweigh hundreds of others, so how many labels it takes cannot be told before.",
        "Gneiting, Raftery (2007)",
        Choice("LogLoss"),
        against=("LogLoss",),
    ),
    Rule(
        "micro-is-accuracy",
        "There are more than two classes.",
        lambda situation: not situation.binary,
        "Do not take F1, Precision or Recall with average Micro beside Accuracy.",
        "With one label per row they are the same number.",
        "scikit-learn user guide, Multiclass and multilabel classification",
        against=("F1 Micro", "Precision Micro", "Recall Micro"),
    ),
    Rule(
        "few-labels",
        f"Less than {FEW_ROWS:g} labelled rows of the rarest class come in a day.",
        _few_rows,
        "Decide by one metric only, with a wide margin, and let the trial take longer than a day (rollout.maxSeconds).",
        "Only rows of that class tell whether it is still found. Labels needed grow with 1 / margin squared, and every metric more must be proven as well.",
        "docs/statistics.md (rare positives)",
    ),
)
"""All rules, in order."""


def that_hold(situation: Situation) -> tuple[Rule, ...]:
    """Return the rules whose condition holds, in order."""
    return tuple(rule for rule in RULES if rule.holds(situation))


def chosen(rules: tuple[Rule, ...]) -> tuple[Choice, ...]:
    """Return the metric that decides, then those to watch; none that a rule speaks against decides."""
    against = {name for rule in rules for name in rule.against}
    named = [rule.use for rule in rules if rule.use is not None]
    deciding = [choice for choice in named if choice.type not in against]
    first = (deciding or named)[0]
    rest = [choice for choice in named if choice is not first and choice.type != first.type]
    return (first, *rest)
