"""The table of values in the chart's README, from values.yaml: every value has a comment there, or this fails."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

BEGIN = "<!-- from values.yaml, by tools/generate.py -->"
END = "<!-- end of values -->"


def readme(text: str, values: str) -> str:
    """Return the README with the table between its two marks made anew.

    Raises
    ------
    ValueError
        If a mark is missing, or a value has no comment.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"charts/assay/README.md needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table(values)}{END}{after}"


def table(values: str) -> str:
    """Return the table in Markdown."""
    lines = ["| Value | Default | Meaning |", "|---|---|---|"]
    for name, default, meaning in documented(values):
        lines.append(f"| `{name}` | {_shown(default)} | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def documented(values: str) -> list[tuple[str, Any, str]]:
    """Return name, default and meaning of every value, in their order in the file.

    A mapping without a comment in it is one value; of another one its own comment comes first, with no
    default. Raises `ValueError` for a value without a comment.
    """
    root = yaml.compose(values)
    assert isinstance(root, yaml.MappingNode)
    return list(_within(root, values.splitlines(), ()))


def _within(
    node: yaml.MappingNode, lines: list[str], path: tuple[str, ...]
) -> Iterator[tuple[str, Any, str]]:
    for key, value in node.value:
        name = (*path, str(key.value))
        comment = _comment(key, lines)
        if isinstance(value, yaml.MappingNode) and _comments_below(value, lines):
            if comment:
                yield ".".join(name), None, comment
            yield from _within(value, lines, name)
            continue
        if not comment:
            raise ValueError(f"values.yaml: {'.'.join(name)} has no comment above it")
        yield ".".join(name), yaml.safe_load(yaml.serialize(value)), comment


def _comments_below(node: yaml.MappingNode, lines: list[str]) -> bool:
    return any(
        _comment(key, lines)
        or (isinstance(value, yaml.MappingNode) and _comments_below(value, lines))
        for key, value in node.value
    )


def _comment(key: yaml.Node, lines: list[str]) -> str:
    """Return the lines of comment right above a key that has a line of its own."""
    number, column = key.start_mark.line, key.start_mark.column
    if lines[number][:column].strip():
        return ""
    found: list[str] = []
    while number and (line := re.fullmatch(rf" {{{column}}}# ?(.*)", lines[number - 1])):
        found.insert(0, line[1])
        number -= 1
    return " ".join(found)


def _shown(default: Any) -> str:
    return "" if default is None else f"`{json.dumps(default, ensure_ascii=False)}`"
