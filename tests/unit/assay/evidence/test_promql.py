"""A tenant's query is confined to its namespace, whatever it says."""

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.evidence.promql import DEEPEST, QueryError, confined, filled, quoted

OWN = 'namespace="ml"'


def selectors(query: str) -> list[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(query), visit)
    return found


def is_confined(query: str) -> bool:
    """Whether every selector asks for the namespace ml, once, and there is one."""
    found = selectors(query)
    return bool(found) and all(
        [str(item) for item in each.matchers.matchers if item.name == "namespace"] == [OWN]
        for each in found
    )


SENT = {
    "up": f'{{__name__="up",{OWN}}}',
    'up{namespace="ml"}': f'{{__name__="up",{OWN}}}',
    '{__name__=~".+"}': f'{{__name__=~".+",{OWN}}}',
    "sum(rate(a[1m] offset 30s)) by (le)": (
        f'sum by (le) (rate({{__name__="a",{OWN}}}[60000ms] offset 30000ms))'
    ),
    "a / on(x) group_left(y) b": (
        f'({{__name__="a",{OWN}}}) / on (x) group_left (y) ({{__name__="b",{OWN}}})'
    ),
    "a unless ignoring(x) b": (
        f'({{__name__="a",{OWN}}}) unless ignoring (x) ({{__name__="b",{OWN}}})'
    ),
    "-a ^ 2": f'(-(({{__name__="a",{OWN}}}) ^ (2.0)))',
    "a > bool 1": f'({{__name__="a",{OWN}}}) > bool (1.0)',
    "scalar(a) * 2": f'vector((scalar({{__name__="a",{OWN}}})) * (2.0))',
    'count_values("v", a)': f'count_values ("v", {{__name__="a",{OWN}}})',
    "quantile without (b) (0.9, a)": f'quantile without (b) (0.9, {{__name__="a",{OWN}}})',
    "absent(a)": f'absent({{__name__="a",{OWN}}})',
    'label_replace(a, "namespace", "x", "b", "(.*)")': (
        f'label_replace({{__name__="a",{OWN}}}, "namespace", "x", "b", "(.*)")'
    ),
    r"""a{b="\"} or up{c=\"",d='"}',e=`}`}""": (
        rf'{{__name__="a",b="\"}} or up{{c=\"",d="\"}}",e="}}",{OWN}}}'
    ),
    "a # } or up\n": f'{{__name__="a",{OWN}}}',
}


@pytest.mark.parametrize(("query", "sent"), SENT.items())
def test_what_is_sent_names_the_namespace_in_every_selector(query: str, sent: str) -> None:
    assert confined(query, "ml") == sent
    assert is_confined(sent)


REFUSED = {
    'up{namespace="other"}': 'namespace="other" asks for other namespaces',
    'up{namespace=~"ml|other"}': "asks for other namespaces",
    'up{namespace!="ml"}': "asks for other namespaces",
    'up{namespace=""}': "asks for other namespaces",
    'up{namespace="ml",namespace="other"}': "asks for other namespaces",
    '{__name__="up" or namespace="other"}': "`or` between matchers is not admitted",
    'up{"namespace.x"="other"}': "label 'namespace.x' is not admitted",
    "max_over_time(rate(up[1m])[5m:10s])": "subquery is not admitted",
    "up @ 0": "@ is not admitted",
    "up @ start()": "@ is not admitted",
    "up offset -1m": "an offset must lie between 1 ms and 1 d",
    "sum_over_time(up[2d])": "a range must lie between 1 ms and 1 d",
    "rate(up[99999999999999999999999y])": "is not PromQL",
    "info(up)": "function info is not admitted",
    "limitk(1, up)": "aggregation limitk is not admitted",
    "a + fill(0) b": "fill is not admitted",
    "vector(1)": "selects no series",
    "time()": "selects no series",
    "up[1m]": "gives a matrix, not one number",
    "sum(up": "is not PromQL: unclosed left parenthesis",
    "up} or {a": "is not PromQL",
    "": "is not PromQL",
    "(" * 200 + "up" + ")" * 200: f"is nested more than {DEEPEST} deep",
    "-" * 1000 + "up": f"is nested more than {DEEPEST} deep",
    "up" + "+up" * 300: f"is nested more than {DEEPEST} deep",
}


@pytest.mark.parametrize(("query", "why"), REFUSED.items(), ids=[each[:40] for each in REFUSED])
def test_what_may_reach_further_is_refused(query: str, why: str) -> None:
    with pytest.raises(QueryError) as caught:
        confined(query, "ml")
    assert why in str(caught.value)


PIECES = (
    "up", "{", "}", "(", ")", "[", "]", '"', "'", "`", "\\", "\n", "#", ",", "=", "=~", "!=", " or ", "namespace",
    "other", " and ", " by ", "sum", "rate", "5m", " offset ", " @ ", "1", "-", "+", "__name__", "é", "\x00",
    'a{b="c"}', "rate(a[1m])", 'namespace="other"', "{{", "}}", ":", "label_replace",
)  # fmt: skip


@given(pieces=st.lists(st.sampled_from(PIECES), max_size=14))
def test_no_text_reaches_another_namespace(pieces: list[str]) -> None:
    try:
        sent = confined("".join(pieces), "ml")
    except QueryError:
        return
    assert is_confined(sent)


@given(value=st.text(max_size=20))
def test_no_value_ends_its_own_string(value: str) -> None:
    [selector] = selectors(f"a{{b={quoted(value)},{OWN}}}")
    assert [item.value for item in selector.matchers.matchers] == [value, "ml"]
    assert is_confined(confined(f"a{{b={quoted(value)}}}", "ml"))


VALUES = {"deployment": "fraud", "window": "60s"}


def test_placeholders_are_filled_once() -> None:
    assert filled('a{b="{{deployment}}"}[{{window}}]', VALUES) == 'a{b="fraud"}[60s]'
    assert filled("{{deployment}}", {"deployment": "{{window}}", "window": "x"}) == "{{window}}"


@pytest.mark.parametrize("template", ["{{pod}}", "{{ deployment }}", "{{", "{{}}", "a{{b\n}}"])
def test_what_is_no_placeholder_is_named(template: str) -> None:
    with pytest.raises(QueryError, match=r"is no placeholder; there are \{\{namespace\}\}, "):
        filled(template, VALUES)
