"""A tenant's PromQL, confined to one namespace. Pure: text in, text out.

A member's Prometheus sees every namespace, and the operator may ask it anything. So a query of a
ModelDeployment is parsed, and what is sent is printed anew from the tree: every selector carries
``namespace="<its own>"``, every string is quoted here, and node types and functions that are not
known are refused. Whatever the text does, and however the two parsers may differ about it, the
server gets nothing but selectors of that namespace. The idea, to enforce a matcher on the tree, is
that of prom-label-proxy; it prints the tree by the server's own parser, which we have not.
"""

import datetime
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import promql_parser as promql

from assay.api.analysis import PLACEHOLDERS

LONGEST = datetime.timedelta(days=1)
"""Range or offset of a selector; a guard is about now."""

_SHORTEST = datetime.timedelta(milliseconds=1)

DEEPEST = 64
"""Levels of a tree; far more than anybody reads."""

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_MATCHES = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
_AGGREGATIONS = {
    "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "topk", "bottomk",
    "quantile", "count_values",
}  # fmt: skip
_OPERATORS = {
    "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "and", "or",
    "unless",
}  # fmt: skip
_FUNCTIONS = {
    "abs", "absent", "absent_over_time", "acos", "acosh", "asin", "asinh", "atan", "atanh",
    "avg_over_time", "ceil", "changes", "clamp", "clamp_max", "clamp_min", "cos", "cosh",
    "count_over_time", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "deg",
    "delta", "deriv", "exp", "floor", "histogram_avg", "histogram_count", "histogram_fraction",
    "histogram_quantile", "histogram_stddev", "histogram_stdvar", "histogram_sum", "hour",
    "idelta", "increase", "irate", "label_join", "label_replace", "last_over_time", "ln", "log10",
    "log2", "max_over_time", "min_over_time", "minute", "month", "pi", "predict_linear",
    "present_over_time", "quantile_over_time", "rad", "rate", "resets", "round", "scalar", "sgn",
    "sin", "sinh", "sort", "sort_desc", "sqrt", "stddev_over_time", "stdvar_over_time",
    "sum_over_time", "tan", "tanh", "time", "timestamp", "vector", "year",
}  # fmt: skip
"""Those of a plain Prometheus. Not `info`: it reads series that no selector names."""


class QueryError(ValueError):
    """A query that is not sent; the message says what is wrong with it."""


def filled(template: str, values: Mapping[str, str]) -> str:
    """Return `template` with each ``{{placeholder}}`` replaced by its value.

    Raises
    ------
    QueryError
        For a placeholder that `values` lacks, and for braces that are none.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in values:
            known = ", ".join(f"{{{{{each}}}}}" for each in PLACEHOLDERS)
            raise QueryError(f"{found[0]} is no placeholder; there are {known}")
        return values[name]

    # One pass: what a value brings is not looked at again.
    return re.sub(r"\{\{(.*?)(?:\}\}|$)", value, template, flags=re.DOTALL)


def confined(query: str, namespace: str) -> str:
    """Return `query` as it may be sent for `namespace`: an instant vector of its series only.

    Raises
    ------
    QueryError
        If it cannot be parsed, asks for another namespace or for something that is not admitted.
    """
    try:
        tree = promql.parse(query)
    except ValueError as error:
        raise QueryError(f"is not PromQL: {error}") from None
    except BaseException as error:
        # A panic of the parser, by an absurd duration for instance. Its type has no name to import.
        if type(error).__name__ != "PanicException":
            raise
        raise QueryError("is not PromQL that can be parsed") from None
    printer = _Printer(namespace)
    text, kind = printer.print(tree), _kind(tree)
    if not printer.selectors:
        raise QueryError("selects no series, so it says nothing about the canary")
    if kind == "Scalar":
        return f"vector({text})"
    if kind != "Vector":
        raise QueryError(f"gives a {kind.lower()}, not one number now: put a function around it")
    return text


def quoted(value: str) -> str:
    """Write a PromQL string literal."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class _Printer:
    """Prints a tree whose every selector names the namespace; counts the selectors."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._depth = 0
        self.selectors = 0

    def print(self, node: object) -> str:
        """Return the text of a node and all below it."""
        self._depth += 1
        if self._depth > DEEPEST:
            _refuse(f"is nested more than {DEEPEST} deep")
        text = self._text(node)
        self._depth -= 1
        return text

    def _text(self, node: object) -> str:
        printer = self._PRINTERS.get(type(node))
        if printer is None:
            _refuse(f"{type(node).__name__.removesuffix('Expr').lower()} is not admitted")
        return printer(self, node)

    def _range(self, node: promql.MatrixSelector) -> str:
        return self._selector(node.vector_selector, f"[{_duration(node.range, 'a range')}]")

    def _selector(self, node: promql.VectorSelector, length: str = "") -> str:
        if node.at is not None:
            _refuse("@ is not admitted: a guard is about now")
        if node.matchers.or_matchers:
            _refuse("`or` between matchers is not admitted")
        self.selectors += 1
        # The name as a matcher: as a word it might be one of the language.
        matchers = [] if node.name is None else [f"__name__={quoted(node.name)}"]
        matchers += [_matcher(each) for each in node.matchers.matchers if not self._own(each)]
        matchers.append(f"namespace={quoted(self._namespace)}")
        text = "{" + ",".join(matchers) + "}" + length
        if not node.offset:
            return text
        return f"{text} offset {_duration(node.offset, 'an offset')}"

    def _own(self, matcher: promql.Matcher) -> bool:
        """Return whether it asks for the namespace that is asked for anyway."""
        if matcher.name != "namespace":
            return False
        if str(matcher.op) != str(promql.MatchOp.Equal) or matcher.value != self._namespace:
            _refuse(
                f"{matcher} asks for other namespaces; a guard sees only series with "
                f"namespace={quoted(self._namespace)}, and need not say so"
            )
        return True

    def _negated(self, node: promql.UnaryExpr) -> str:
        if not node.prettify().startswith("-"):
            _refuse(f"{node.prettify()} is not admitted")
        return f"(-({self.print(node.expr)}))"

    def _binary(self, node: promql.BinaryExpr) -> str:
        operator = str(node.op)
        if operator not in _OPERATORS:
            _refuse(f"operator {operator} is not admitted")
        words = [self._side(node.lhs), operator, *_modifiers(node.modifier), self._side(node.rhs)]
        return " ".join(words)

    def _side(self, node: object) -> str:
        return f"({self.print(node)})"

    def _aggregate(self, node: promql.AggregateExpr) -> str:
        name = str(node.op)
        if name not in _AGGREGATIONS:
            _refuse(f"aggregation {name} is not admitted")
        by = ""
        if node.modifier is not None:
            word = "by" if "By" in str(node.modifier.type) else "without"
            by = f" {word} ({_labels(node.modifier.labels)})"
        arguments = [] if node.param is None else [self.print(node.param)]
        return f"{name}{by} ({', '.join([*arguments, self.print(node.expr)])})"

    def _call(self, node: promql.Call) -> str:
        name = node.func.name
        if name not in _FUNCTIONS:
            _refuse(f"function {name} is not admitted")
        return f"{name}({', '.join(self.print(each) for each in node.args)})"

    _PRINTERS: ClassVar[Mapping[type, Callable[["_Printer", Any], str]]] = {
        promql.NumberLiteral: lambda _, node: _number(node.val),
        promql.StringLiteral: lambda _, node: quoted(node.val),
        promql.VectorSelector: _selector,
        promql.MatrixSelector: _range,
        promql.ParenExpr: lambda self, node: self._side(node.expr),
        promql.UnaryExpr: _negated,
        promql.BinaryExpr: _binary,
        promql.AggregateExpr: _aggregate,
        promql.Call: _call,
    }
    """All that is admitted. Not subqueries: they cost much, and `forSeconds` does what they are for."""


def _modifiers(modifier: promql.BinModifier | None) -> list[str]:
    """Return the words between an operator and its right side."""
    if modifier is None:
        return []
    fill = modifier.fill_values
    if (fill.lhs, fill.rhs) != (None, None):
        _refuse("fill is not admitted")
    words = ["bool"] if modifier.return_bool else []
    if modifier.matching is not None:
        word = "on" if "Include" in str(modifier.matching.type) else "ignoring"
        words.append(f"{word} ({_labels(modifier.matching.labels)})")
    side = {"ManyToOne": "group_left", "OneToMany": "group_right"}
    for card, word in side.items():
        if card in str(modifier.card):
            words.append(f"{word} ({_labels(modifier.group_labels or ())})")
    return words


def _matcher(matcher: promql.Matcher) -> str:
    operator = _MATCHES[str(matcher.op).rpartition(".")[2]]
    return f"{_labels([matcher.name])}{operator}{quoted(matcher.value)}"


def _labels(names: Sequence[str]) -> str:
    for name in names:
        if not _LABEL.fullmatch(name):
            _refuse(f"label {name!r} is not admitted: letters, digits and underscores are")
    return ", ".join(names)


def _duration(length: datetime.timedelta, what: str) -> str:
    if not _SHORTEST <= length <= LONGEST:
        _refuse(f"{what} must lie between 1 ms and {LONGEST.days} d")
    return f"{length // _SHORTEST}ms"


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "(-Inf)"
    return repr(value) if value >= 0 else f"({value!r})"


_KINDS: Mapping[type, str] = {
    promql.NumberLiteral: "Scalar",
    promql.StringLiteral: "String",
    promql.MatrixSelector: "Matrix",
}


def _kind(node: object) -> str:
    """Return what an expression gives: Vector, Scalar, Matrix or String."""
    match node:
        case promql.ParenExpr() | promql.UnaryExpr():
            return _kind(node.expr)
        case promql.BinaryExpr():
            return "Vector" if "Vector" in {_kind(node.lhs), _kind(node.rhs)} else "Scalar"
        case promql.Call():
            return str(node.func.return_type).rpartition(".")[2]
        case _:
            return _KINDS.get(type(node), "Vector")


def _refuse(why: str) -> NoReturn:
    raise QueryError(why)
