"""scikit-learn's transformers, fitted, as features."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from assay_server.models.compiled.blocks import (
    Block,
    Features,
    Fills,
    Mapped,
    OneHot,
    Plain,
    Products,
)
from assay_server.models.compiled.lookups import is_nan, learned, one_hot_answers, ordinal_answer
from assay_server.models.compiled.steps import Arithmetic, CannotCompileError, Clip, Fill, Indicate
from assay_server.models.estimator import type_name

# The most columns that polynomials may have.
_MOST_PRODUCTS = 4096


def transformed(transformer: Any, before: Features, *, objects: bool) -> Features:
    """Return what a fitted transformer makes of features.

    `objects` says that rows are objects. Raises CannotCompileError.
    """
    if transformer is None or transformer == "passthrough":
        return before
    compiler = _COMPILERS.get(type_name(transformer))
    if compiler is None:
        raise CannotCompileError(f"{type(transformer).__name__} is not compiled")
    after = compiler(transformer, before, objects)
    if getattr(transformer, "n_features_in_", before.width) != before.width:
        raise CannotCompileError(f"{type(transformer).__name__} takes another number of columns")
    return after


def _pipeline(pipeline: Any, before: Features, objects: bool) -> Features:  # noqa: FBT001
    for _, step in pipeline.steps:
        before = transformed(step, before, objects=objects)
    return before


def _standard_scaler(scaler: Any, before: Features, _objects: bool) -> Features:  # noqa: FBT001
    after = before.numbers()
    if scaler.with_mean:
        after = after.then(Arithmetic(np.subtract, scaler.mean_))
    if scaler.with_std:
        after = after.then(Arithmetic(np.divide, scaler.scale_))
    return after


def _robust_scaler(scaler: Any, before: Features, _objects: bool) -> Features:  # noqa: FBT001
    after = before.numbers()
    if scaler.with_centering:
        after = after.then(Arithmetic(np.subtract, scaler.center_))
    if scaler.with_scaling:
        after = after.then(Arithmetic(np.divide, scaler.scale_))
    return after


def _min_max_scaler(scaler: Any, before: Features, _objects: bool) -> Features:  # noqa: FBT001
    after = before.numbers().then(Arithmetic(np.multiply, scaler.scale_))
    after = after.then(Arithmetic(np.add, scaler.min_))
    return after.then(Clip(*scaler.feature_range)) if scaler.clip else after


def _max_abs_scaler(scaler: Any, before: Features, _objects: bool) -> Features:  # noqa: FBT001
    after = before.numbers().then(Arithmetic(np.divide, scaler.scale_))
    return after.then(Clip(-1.0, 1.0)) if getattr(scaler, "clip", False) else after


def _simple_imputer(imputer: Any, before: Features, _objects: bool) -> Features:  # noqa: FBT001
    statistics = imputer.statistics_.tolist()
    missing = imputer.missing_values
    kept = [
        place
        for place, value in enumerate(statistics)
        if imputer.keep_empty_features or not is_nan(value)
    ]
    indicator = imputer.indicator_ if imputer.add_indicator else None
    plain = before.untouched()
    blocks: tuple[Block, ...]
    if plain is not None and plain.fills is None:
        fills = Fills(missing, tuple(statistics)).take(kept)
        columns = [plain.columns[place] for place in kept]
        blocks = (Block(Plain(columns, plain.of, fills)),)
        if indicator is not None:
            columns = [plain.columns[place] for place in indicator.features_]
            blocks += (Block(Plain(columns, plain.of), (Indicate(float(missing)),)),)
        return Features(blocks)
    if indicator is not None or len(kept) < len(statistics):
        raise CannotCompileError("SimpleImputer after other steps: columns come or go")
    return before.numbers().then(Fill(np.array(statistics, np.float64), float(missing)))


def _one_hot_encoder(encoder: Any, before: Features, objects: bool) -> Features:  # noqa: FBT001
    plain = _input(encoder, before)
    widths = encoder._n_features_outs  # noqa: SLF001 - nothing public says it
    lookups = learned(encoder, one_hot_answers(widths), objects=objects)
    source = OneHot(_unfilled(plain), _filled(lookups, plain), widths)
    return Features((Block(source),))


def _number_encoder(encoder: Any, before: Features, objects: bool) -> Features:  # noqa: FBT001
    plain = _input(encoder, before)
    if getattr(encoder, "target_type_", "binary") == "multiclass":
        raise CannotCompileError("TargetEncoder of several classes")
    lookups = learned(encoder, ordinal_answer, objects=objects)
    return Features((Block(Mapped(_unfilled(plain), _filled(lookups, plain))),))


def _polynomial(polynomial: Any, before: Features, _objects: bool) -> Features:  # noqa: FBT001
    powers = polynomial.powers_
    if len(powers) > _MOST_PRODUCTS:
        raise CannotCompileError(f"PolynomialFeatures of {len(powers)} columns")
    degree = max(int(powers.sum(axis=1).max(initial=1)), 1)
    factors = np.full((len(powers), degree), before.width, dtype=np.intp)
    for row, counts in enumerate(powers.tolist()):
        places = itertools.chain.from_iterable(
            [place] * count for place, count in enumerate(counts)
        )
        for position, place in enumerate(places):
            factors[row, position] = place
    return Features((Block(Products(before.numbers(), factors)),))


def _function(transformer: Any, before: Features, _objects: bool) -> Features:  # noqa: FBT001
    # Without a function it is what "passthrough" becomes in a fitted ColumnTransformer.
    if transformer.func is not None:
        raise CannotCompileError("FunctionTransformer with a function of its own")
    return before


def _column_transformer(columns: Any, before: Features, objects: bool) -> Features:  # noqa: FBT001
    plain = _input(columns, before)
    weights = columns.transformer_weights or {}
    blocks: tuple[Block, ...] = ()
    for name, transformer, places in columns.transformers_:
        if np.isscalar(places):
            raise CannotCompileError("ColumnTransformer that hands on a column as a vector")
        if not len(places) or (isinstance(transformer, str) and transformer == "drop"):
            continue
        fills = None if plain.fills is None else plain.fills.take(places)
        part = Plain([plain.columns[place] for place in places], plain.of, fills)
        found = transformed(transformer, Features((Block(part),)), objects=objects).numbers()
        if name in weights:
            found = found.then(Arithmetic(np.multiply, np.full(found.width, weights[name])))
        blocks += found.blocks
    if not blocks:
        raise CannotCompileError("ColumnTransformer that leaves no column")
    return Features(blocks)


def _input(part: Any, before: Features) -> Plain:
    plain = before.untouched()
    if plain is None:
        raise CannotCompileError(f"{type(part).__name__} after other steps")
    return plain


def _unfilled(plain: Plain) -> Plain:
    return Plain(plain.columns, plain.of)


def _filled(lookups: list[Any], plain: Plain) -> list[Any]:
    if plain.fills is None:
        return lookups
    missing = plain.fills.missing
    return [
        lookup.filled(missing, value)
        for lookup, value in zip(lookups, plain.fills.values, strict=True)
    ]


_COMPILERS: dict[str, Callable[[Any, Features, bool], Features]] = {
    "sklearn.pipeline.Pipeline": _pipeline,
    "sklearn.compose._column_transformer.ColumnTransformer": _column_transformer,
    "sklearn.preprocessing._function_transformer.FunctionTransformer": _function,
    "sklearn.impute._base.SimpleImputer": _simple_imputer,
    "sklearn.preprocessing._data.StandardScaler": _standard_scaler,
    "sklearn.preprocessing._data.RobustScaler": _robust_scaler,
    "sklearn.preprocessing._data.MinMaxScaler": _min_max_scaler,
    "sklearn.preprocessing._data.MaxAbsScaler": _max_abs_scaler,
    "sklearn.preprocessing._encoders.OneHotEncoder": _one_hot_encoder,
    "sklearn.preprocessing._encoders.OrdinalEncoder": _number_encoder,
    "sklearn.preprocessing._target_encoder.TargetEncoder": _number_encoder,
    "sklearn.preprocessing._polynomial.PolynomialFeatures": _polynomial,
}
