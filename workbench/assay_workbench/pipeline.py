"""The pipeline of a recipe: everything that learns from rows is inside, so no fold sees another.

`columns` (clip, impute, scale; impute, encode) learns from values alone. What learns from labels,
`select`, `pca` before it and the classifier, is inside the calibration where there is one, so scores are calibrated
on rows that neither the selection nor the classifier has seen.
"""

import copy
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_classif, mutual_info_classif
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler

from assay_server.models.estimator import parts_of
from assay_workbench.clipping import Clipper
from assay_workbench.errors import RecipeError
from assay_workbench.estimators import classifier
from assay_workbench.recipe import (
    CategoricalImputation,
    Constant,
    NumericImputation,
    OutlierPolicy,
    Recipe,
    Scaling,
    Score,
)
from assay_workbench.table import Table

MISSING = "(missing)"
"""The category of those that have none."""

_STRATEGIES = {
    NumericImputation.MEDIAN: "median",
    NumericImputation.MEAN: "mean",
    NumericImputation.MOST_FREQUENT: "most_frequent",
}
_SCALERS = {
    Scaling.STANDARD: StandardScaler,
    Scaling.ROBUST: RobustScaler,
    Scaling.MIN_MAX: MinMaxScaler,
}


@dataclass(frozen=True)
class Untrained:
    """A pipeline that is not trained yet.

    Attributes
    ----------
    model
        The pipeline.
    prefix
        Before the name of a parameter of the estimator in a grid.
    inner
        Before the names of the steps ``select`` and ``pca``.
    probable
        Whether it gives probabilities.
    calibrated
        Whether these come from a calibration.
    """

    model: Pipeline
    prefix: str
    inner: str
    probable: bool
    calibrated: bool

    def parameter(self, name: str) -> str:
        """Return scikit-learn's name of an entry of a grid."""
        if name == "select.keep":
            return f"{self.inner}select__k"
        if name == "pca.components":
            return f"{self.inner}pca__n_components"
        return f"{self.prefix}{name}"


def build(recipe: Recipe, table: Table) -> Untrained:
    """Build the pipeline. Raises `RecipeError` for settings that do not go together."""
    found = classifier(recipe.estimator, recipe.seed)
    _check_missing(recipe, table, takes_missing=found.missing)
    steps: list[tuple[str, Any]] = []
    if recipe.select is not None:
        steps.append(("select", SelectKBest(_score(recipe), k=recipe.select.keep)))
    if recipe.pca is not None:
        components = recipe.pca.components
        steps.append(("pca", PCA(components, svd_solver="full", random_state=recipe.seed)))
    steps.append(("estimator", found.estimator))
    columns = ("columns", _columns(recipe, table))
    wanted = recipe.calibrate.when
    if wanted == "Never" or (wanted == "Auto" and found.probable):
        prefix = f"estimator__{found.prefix}"
        return Untrained(Pipeline([columns, *steps]), prefix, "", found.probable, calibrated=False)
    inner = Pipeline(steps)
    calibrated = CalibratedClassifierCV(
        inner,
        method=recipe.calibrate.method.lower(),
        cv=recipe.calibrate.folds,
        # One classifier of all rows, calibrated by what others of its kind say of rows unseen.
        ensemble=False,
    )
    model = Pipeline([columns, ("calibrated", calibrated)])
    within = "calibrated__estimator__"
    return Untrained(
        model, f"{within}estimator__{found.prefix}", within, probable=True, calibrated=True
    )


def fit(model: Pipeline, table: Table, places: Any) -> Pipeline:
    """Train on some rows of a table; the model then knows the names of its columns."""
    model.fit(table.rows[places], table.labels[places])
    # The server and `evaluate` find columns by name; scikit-learn learns names from DataFrames only.
    model.named_steps["columns"].feature_names_in_ = np.array(table.names, dtype=object)
    return model


def servable(model: Pipeline) -> Pipeline:
    """Return an equal model of scikit-learn's own types, without what only training needs."""
    found = copy.deepcopy(model)
    for part in list(parts_of(found)):
        if isinstance(part, Clipper):
            part.to_plain()
        elif isinstance(part, SelectKBest):
            # A function, which skops does not trust; it has done its work.
            part.score_func = None
        elif isinstance(part, MLPClassifier):
            for name in ("_optimizer", "_random_state"):
                part.__dict__.pop(name, None)
    return found


def _score(recipe: Recipe) -> Any:
    if recipe.select is not None and recipe.select.by is Score.MUTUAL_INFORMATION:
        # It adds noise to numbers, to break ties.
        return functools.partial(mutual_info_classif, random_state=recipe.seed)
    return f_classif


def _columns(recipe: Recipe, table: Table) -> ColumnTransformer:
    parts = []
    if table.numeric:
        parts.append(("numeric", _numeric(recipe), list(table.numeric)))
    if table.categorical:
        parts.append(("categorical", _categorical(recipe), list(table.categorical)))
    return ColumnTransformer(parts, verbose_feature_names_out=False)


def _numeric(recipe: Recipe) -> Any:
    steps: list[tuple[str, Any]] = []
    outliers = recipe.outliers
    if outliers.policy is not OutlierPolicy.NONE:
        clip = Clipper(outliers.policy.value, outliers.lower, outliers.upper, outliers.reach)
        steps.append(("clip", clip))
    wanted = recipe.imputation.numeric
    if isinstance(wanted, Constant):
        fill = SimpleImputer(
            strategy="constant", fill_value=wanted.constant, keep_empty_features=True
        )
        # A value of the recipe is in the units of the column, so it comes before they are scaled.
        steps.insert(0, ("impute", fill))
    elif wanted is not NumericImputation.NONE:
        steps.append(
            ("impute", SimpleImputer(strategy=_STRATEGIES[wanted], keep_empty_features=True))
        )
    if recipe.scaling is not Scaling.NONE:
        steps.append(("scale", _SCALERS[recipe.scaling]()))
    return Pipeline(steps) if steps else "passthrough"


def _categorical(recipe: Recipe) -> Pipeline:
    if recipe.imputation.categorical is CategoricalImputation.CATEGORY:
        fill = SimpleImputer(strategy="constant", fill_value=MISSING, keep_empty_features=True)
    else:
        fill = SimpleImputer(strategy="most_frequent", keep_empty_features=True)
    rare = recipe.categories.rare_below
    least = None if rare == 0 else rare if rare < 1 else int(rare)
    encode = OneHotEncoder(
        min_frequency=least, handle_unknown="infrequent_if_exist", sparse_output=False
    )
    return Pipeline([("impute", fill), ("encode", encode)])


def _check_missing(recipe: Recipe, table: Table, *, takes_missing: bool) -> None:
    if recipe.imputation.numeric is not NumericImputation.NONE or not table.numeric:
        return
    step = "select" if recipe.select is not None else "pca" if recipe.pca is not None else ""
    if step or not takes_missing:
        who = step or recipe.estimator.type
        raise RecipeError(
            f"imputation.numeric: is None, but {who} takes no missing values: choose Median, Mean, "
            "MostFrequent or a constant"
        )
