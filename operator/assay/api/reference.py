"""Pages of the API reference, from the CustomResourceDefinitions: every field, as the API server knows it."""

import ast
import enum
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from .conditions import ConditionType, Reason, StalledReason
from .schema import definitions

_HEAD = (
    "<!-- Generated from operator/assay/api by tools/generate.py (make generate). Do not edit. -->"
)


def pages() -> dict[str, str]:
    """Return the Markdown of the reference by file name: a page for each kind, one for conditions."""
    kinds = {
        f"{definition['spec']['names']['singular']}.md": page(definition)
        for definition in definitions().values()
    }
    return kinds | {"conditions.md": conditions_page()}


def conditions_page() -> str:
    """Return the page of all condition types and reasons."""
    lines = [
        _HEAD,
        "# Conditions and reasons",
        "",
        "What `status.conditions` of a ModelDeployment and a ModelCluster can hold. What they say together:",
        "[rollout](../rollout.md#what-the-conditions-say). Holds of the judge have reasons of their own:",
        "[why it holds](../statistics.md#why-it-holds), [in detail](../statistics-in-detail.md), [guards](../guards.md).",
        "",
        "## Types",
        "",
        "| type | |",
        "|---|---|",
        *(f"| `{member}` | {_cell(text)} |" for member, text in documented(ConditionType)),
        "",
        "## Reasons",
        "",
        "Those with a link are reasons to be `Stalled`, and the link leads to their runbook.",
        "",
        "| reason | |",
        "|---|---|",
        *(f"| {_reason(member)} | {_cell(text)} |" for member, text in documented(Reason)),
    ]
    return "\n".join(lines) + "\n"


def documented(members: type[enum.StrEnum]) -> Iterator[tuple[str, str]]:
    """Yield each value of an enumeration with the text that stands below it in the source."""
    [cls] = ast.parse(textwrap.dedent(inspect.getsource(members))).body
    assert isinstance(cls, ast.ClassDef)
    names = {member.name: member.value for member in members}
    for item, below in zip(cls.body, cls.body[1:], strict=False):
        match item, below:
            case (
                ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield names[name], " ".join(text.split())
            case _:
                pass


def _reason(member: str) -> str:
    stalls = member in {item.value for item in get_args(StalledReason)}
    return f"[`{member}`](../stalled.md#{member.lower()})" if stalls else f"`{member}`"


def page(definition: Mapping[str, Any]) -> str:
    """Return the page of one CustomResourceDefinition."""
    spec = definition["spec"]
    names, [version] = spec["names"], spec["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    kind, short = names["kind"], names["shortNames"][0]
    lines = [
        _HEAD,
        f"# {kind}",
        "",
        f"`{spec['group']}/{version['name']}`, {spec['scope'].lower()}; `kubectl get {short}`. {schema['description']}",
        "",
        "A `-` in the column of defaults means that there is none, and **required** that the field has to be there once its",
        "object is. What stands under *Rules* is checked at admission, beside types and limits.",
        "",
        *_rules("this object", schema),
    ]
    for part in ("spec", "status"):
        for path, node in _objects(part, schema["properties"][part]):
            lines += _section(path, node)
    return "\n".join(lines).rstrip() + "\n"


def _objects(path: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every object with named fields below `node`, itself first."""
    if "properties" in node:
        yield path, node
        for name, field in node["properties"].items():
            yield from _objects(f"{path}.{name}", field)
    for suffix, key in (("[]", "items"), (".*", "additionalProperties")):
        if isinstance(node.get(key), Mapping):
            yield from _objects(f"{path}{suffix}", node[key])


def _section(path: str, node: Mapping[str, Any]) -> Iterator[str]:
    level = min(2 + path.count("."), 4)
    yield f"{'#' * level} {path}"
    yield ""
    if node.get("description"):
        yield from (node["description"], "")
    if node["properties"]:
        yield "| field | type | default | limits | |"
        yield "|---|---|---|---|---|"
        required = node.get("required", ())
        for name, field in node["properties"].items():
            default = "**required**" if name in required else _default(field)
            cells = (
                f"`{name}`",
                _type(field),
                default,
                _limits(field),
                field.get("description", ""),
            )
            yield "| " + " | ".join(_cell(cell) for cell in cells) + " |"
        yield ""
    yield from _rules(f"`{path}`", node)


def _rules(of: str, node: Mapping[str, Any]) -> Iterator[str]:
    rules = [*node.get("x-kubernetes-validations", ())]
    if rules:
        yield from (f"Rules of {of}:", "", *(f"- {rule['message']}" for rule in rules), "")


def _type(field: Mapping[str, Any]) -> str:
    match field.get("type"):
        case "array":
            return f"list of {_type(field['items'])}"
        case "object" if "additionalProperties" in field:
            below = field["additionalProperties"]
            return f"map of {_type(below)}" if isinstance(below, Mapping) else "map"
        case "string" if field.get("format") == "date-time":
            return "time"
        case "integer":
            return str(field.get("format", "integer"))
        case None:
            return "int or string" if field.get("x-kubernetes-int-or-string") else "any"
        case name:
            return str(name)


def _default(field: Mapping[str, Any]) -> str:
    if "default" not in field:
        return "-"
    value = field["default"]
    if isinstance(value, Mapping) and "properties" in field:
        return "its fields' defaults"
    return f"`{_plain(value)}`"


def _plain(value: object) -> str:
    match value:
        case Mapping():
            return "{" + ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(_plain(item) for item in value) + "]"
        case str():
            return value or '""'
        case _:
            return str(value).lower() if isinstance(value, bool) else str(value)


def _limits(field: Mapping[str, Any]) -> str:
    words = []
    if "enum" in field:
        words.append(", ".join(f"`{item}`" for item in field["enum"]))
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " keys"),
    ):
        if low in field or high in field:
            words.append(_range(field.get(low), field.get(high)) + unit)
    if "pattern" in field:
        words.append(f"`{field['pattern']}`")
    below = field.get("items")
    if isinstance(below, Mapping) and (inner := _limits(below)):
        words.append(f"each: {inner}")
    return "; ".join(words)


def _range(low: int | None, high: int | None) -> str:
    if low is None or high is None:
        return f"at most {high}" if low is None else f"at least {low}"
    return str(low) if low == high else f"{low} to {high}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
