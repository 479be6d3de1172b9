"""A training recipe: everything that a model follows from, in one file of YAML.

Field names are in camelCase, as in a ModelDeployment. What is wrong is said field by field, and a field
that is not known is refused: a typo must not silently train another model.
"""

import enum
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import override

from assay_workbench.errors import WorkbenchError

Text = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Data(_Part):
    """Where the labelled rows are.

    Attributes
    ----------
    files
        CSV or Parquet, relative to the recipe; their rows come one after the other.
    label
        Column of the true classes.
    delimiter
        Of a CSV.
    """

    files: Annotated[list[Text], Field(min_length=1)]
    label: Text = "label"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","


class Columns(_Part):
    """Roles of columns; those of all others follow from their values."""

    numeric: list[Text] = []
    categorical: list[Text] = []
    ignore: list[Text] = []

    @model_validator(mode="after")
    def _one_role(self) -> Self:
        names = [*self.numeric, *self.categorical, *self.ignore]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"column {name!r} is named twice; it can have one role")
        return self


class Constant(_Part):
    """A value to put where there is none."""

    constant: float


class NumericImputation(enum.StrEnum):
    """What takes the place of a missing number."""

    MEDIAN = "Median"
    MEAN = "Mean"
    MOST_FREQUENT = "MostFrequent"
    NONE = "None"
    """It stays missing; only some trees take that."""


class CategoricalImputation(enum.StrEnum):
    """What takes the place of a missing category."""

    CATEGORY = "Category"
    """A category of its own."""
    MOST_FREQUENT = "MostFrequent"


class Imputation(_Part):
    """What is done about missing values."""

    numeric: NumericImputation | Constant = NumericImputation.MEDIAN
    categorical: CategoricalImputation = CategoricalImputation.CATEGORY


class OutlierPolicy(enum.StrEnum):
    """Where numbers are clipped."""

    NONE = "None"
    QUANTILES = "Quantiles"
    FENCES = "Fences"
    """Tukey's: so many interquartile ranges beyond the quartiles."""


class Outliers(_Part):
    """What is done about numbers that lie far out: they are moved to a limit, never left out."""

    policy: OutlierPolicy = OutlierPolicy.NONE
    lower: Annotated[float, Field(ge=0, lt=0.5)] = 0.01
    upper: Annotated[float, Field(gt=0.5, le=1)] = 0.99
    reach: Annotated[float, Field(gt=0)] = 1.5


class Scaling(enum.StrEnum):
    """How numbers are brought to one scale."""

    STANDARD = "Standard"
    ROBUST = "Robust"
    MIN_MAX = "MinMax"
    NONE = "None"


class Categories(_Part):
    """How categories become numbers: one column each.

    Attributes
    ----------
    rare_below
        Categories with fewer rows than this (a share below 1, or a number) have one column together.
    """

    rare_below: float = Field(0.01, alias="rareBelow", ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.rare_below >= 1 and not self.rare_below.is_integer():
            raise ValueError("rareBelow must be a share below 1, or a whole number of rows")
        return self


class Score(enum.StrEnum):
    """What columns are ranked by, one by one."""

    F = "F"
    """Of the analysis of variance."""
    MUTUAL_INFORMATION = "MutualInformation"


class Selection(_Part):
    """Keeps the best columns, after categories became columns."""

    keep: Annotated[int, Field(ge=1)]
    by: Score = Score.F


class Pca(_Part):
    """Principal components in place of columns: so many, or as many as explain such a share."""

    components: Annotated[int, Field(ge=1)] | Share


class EstimatorType(enum.StrEnum):
    """Which classifier of scikit-learn."""

    LOGISTIC_REGRESSION = "LogisticRegression"
    DECISION_TREE = "DecisionTree"
    SVM = "SVM"
    LINEAR_SVM = "LinearSVM"
    MLP = "MLP"
    RANDOM_FOREST = "RandomForest"
    GRADIENT_BOOSTING = "GradientBoosting"
    HIST_GRADIENT_BOOSTING = "HistGradientBoosting"
    ONE_VS_REST = "OneVsRest"
    ONE_VS_ONE = "OneVsOne"


SEVERAL = (EstimatorType.ONE_VS_REST, EstimatorType.ONE_VS_ONE)
"""Types that are made of one estimator per class or pair of classes."""


class Member(_Part):
    """The estimator that OneVsRest and OneVsOne are made of."""

    type: EstimatorType
    parameters: dict[Text, Any] = {}

    @model_validator(mode="after")
    def _single(self) -> Self:
        if self.type in SEVERAL:
            raise ValueError(f"{self.type} cannot be made of {self.type}")
        return self


class Estimator(_Part):
    """The classifier. Parameters are scikit-learn's own; those left out have its defaults."""

    type: EstimatorType
    parameters: dict[Text, Any] = {}
    of: Member | None = None

    @model_validator(mode="after")
    def _made_of(self) -> Self:
        if (self.type in SEVERAL) != (self.of is not None):
            raise ValueError(
                "of names the estimator that OneVsRest and OneVsOne are made of, and goes with these "
                "two only"
            )
        if self.of is not None and self.parameters:
            raise ValueError(f"{self.type} has no parameters; they go under of.parameters")
        return self


class CalibrationMethod(enum.StrEnum):
    """How scores become probabilities."""

    SIGMOID = "Sigmoid"
    ISOTONIC = "Isotonic"


class Calibration(_Part):
    """Probabilities from scores of rows that the estimator has not seen.

    Attributes
    ----------
    when
        `Auto`: where the estimator has no probabilities of its own.
    """

    when: Literal["Auto", "Always", "Never"] = "Auto"
    method: CalibrationMethod = CalibrationMethod.SIGMOID
    folds: Annotated[int, Field(ge=2, le=20)] = 5


class SearchMethod(enum.StrEnum):
    """How settings are looked for."""

    NONE = "None"
    GRID = "Grid"
    HALVING = "Halving"
    """All settings on few rows, the better third on more, and so on."""


class Metric(enum.StrEnum):
    """What settings are compared by."""

    ACCURACY = "Accuracy"
    BALANCED_ACCURACY = "BalancedAccuracy"
    F1 = "F1"
    MACRO_F1 = "MacroF1"
    ROC_AUC = "ROCAUC"
    AVERAGE_PRECISION = "AveragePrecision"
    LOG_LOSS = "LogLoss"
    BRIER = "Brier"


class Search(_Part):
    """Which settings are tried.

    Attributes
    ----------
    grid
        Values by parameter of the estimator (of the one that OneVsRest or OneVsOne is made of), or
        by ``select.keep`` and ``pca.components``.
    folds
        Stratified.
    """

    method: SearchMethod = SearchMethod.NONE
    metric: Metric | None = None
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    grid: dict[Text, Annotated[list[Any], Field(min_length=1)]] = {}

    @model_validator(mode="after")
    def _something_to_try(self) -> Self:
        if self.method is SearchMethod.NONE:
            if self.grid:
                raise ValueError("grid needs a method: Grid or Halving")
        elif not self.grid:
            raise ValueError("grid is missing: it says which values to try")
        return self


class Costs(_Part):
    """What mistakes of the positive class cost, in any unit."""

    false_positive: float = Field(alias="falsePositive", ge=0)
    false_negative: float = Field(alias="falseNegative", ge=0)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.false_positive == self.false_negative == 0.0:
            raise ValueError("both are 0: then no mistake matters")
        return self


class Recipe(_Part):
    """A recipe.

    Attributes
    ----------
    problem
        What the model is for, for people.
    classes
        What each class means; all of them.
    positive
        Class that binary figures are about; else the second of two.
    limits
        What the model must not be used for.
    hold_out
        Share of the rows that nothing learns from and the model is judged by.
    """

    problem: Text
    classes: Annotated[dict[Text, Text], Field(min_length=2)]
    positive: Text | None = None
    limits: str = ""
    data: Data
    columns: Columns = Columns()
    imputation: Imputation = Imputation()
    outliers: Outliers = Outliers()
    scaling: Scaling = Scaling.STANDARD
    categories: Categories = Categories()
    select: Selection | None = None
    pca: Pca | None = None
    estimator: Estimator
    calibrate: Calibration = Calibration()
    search: Search = Search()
    costs: Costs | None = None
    hold_out: float = Field(0.25, alias="holdOut", gt=0, le=0.5)
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.positive is not None and self.positive not in self.classes:
            raise ValueError(
                f"positive: {self.positive!r} is not one of the classes {', '.join(self.classes)}"
            )
        if self.costs is not None and self.positive is None and len(self.classes) > 2:
            raise ValueError("costs are about one class: name it with positive")
        for name, part in (("select.keep", self.select), ("pca.components", self.pca)):
            if name in self.search.grid and part is None:
                raise ValueError(f"search.grid.{name}: there is no {name.partition('.')[0]}")
        return self


class _Loader(yaml.SafeLoader):
    """Reads YAML as version 1.2 has it: 1e-3 is a number, and yes is a word.

    Keys are the text that is written, so a class 1 or true is named as in the table. One that is
    there twice is an error.
    """

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.flatten_mapping(node)
        found: dict[Any, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is no text", key.start_mark
                )
            if key.value in found:
                problem = f"the key {key.value!r} is there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            found[key.value] = self.construct_object(value, deep=deep)
        return found


_REPLACED = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:float")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in each if tag not in _REPLACED]
    for first, each in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_REPLACED[0], re.compile("^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver(
    _REPLACED[1],
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def read(path: Path) -> Recipe:
    """Read a recipe. Raises `WorkbenchError`, with a line for each thing that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except OSError as error:
        raise WorkbenchError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise WorkbenchError(f"{path}: is no text in UTF-8") from None
    except yaml.YAMLError as error:
        raise WorkbenchError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise WorkbenchError(f"{path}: is no recipe: it must have fields such as problem and data")
    try:
        return Recipe.model_validate(_with_texts(value))
    except ValidationError as error:
        raise WorkbenchError("\n".join(_problems(path, error))) from None


def _with_texts(value: dict[Any, Any]) -> dict[Any, Any]:
    """Let the positive class be written as a number, as its row in `classes` is."""
    positive = value.get("positive")
    if isinstance(positive, (int, float)) and not isinstance(positive, bool):
        return {**value, "positive": str(positive)}
    return value


def _problems(path: Path, error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_url=False, include_input=False):
        # Names of a union's members, such as `constrained-float`, are none of the fields.
        where = ".".join(str(word) for word in each["loc"] if _is_field(word))
        message = each["msg"].removeprefix("Value error, ")
        if each["type"] == "extra_forbidden":
            message = "is not known here"
        elif each["type"] == "missing":
            message = "is missing"
        yield f"{path}: {where}: {message}" if where else f"{path}: {message}"


def _is_field(word: int | str) -> bool:
    return isinstance(word, int) or not (word in _TAGS or "[" in word)


_TAGS = frozenset(
    {
        "int",
        "float",
        "constrained-int",
        "constrained-float",
        "enum",
        "Constant",
        "NumericImputation",
    }
)
