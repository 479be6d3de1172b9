"""What pages say is what is there: reasons, fields, commands, examples, pictures."""

import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import get_args

import click
import pytest

from assay.api import schema
from assay.api.conditions import ConditionType, Reason, StalledReason
from assay.api.reference import documented, pages
from assay.cli import main
from tests.unit.site.test_pages import MARKDOWN, ROOT, tracked
from tools import site_pages


def test_every_reason_to_stall_has_a_runbook_and_no_other() -> None:
    page = (ROOT / "docs/stalled.md").read_text()
    reasons = {reason.value for reason in get_args(StalledReason)}
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert sorted(headings) == headings
    assert set(headings) == reasons
    for section in page.split("\n## ")[1:]:
        assert "**What it means.**" in section


@pytest.mark.parametrize("members", [Reason, ConditionType])
def test_the_reference_has_every_reason_with_its_meaning(
    members: type[Reason | ConditionType],
) -> None:
    assert [name for name, _ in documented(members)] == [item.value for item in members]
    assert all(text for _, text in documented(members))


def test_the_reference_has_every_field() -> None:
    def names(node: dict[str, object]) -> Iterator[str]:
        for key, value in node.items():
            if isinstance(value, dict):
                if key == "properties":
                    yield from value
                yield from names(value)

    made = pages()
    for definition in schema.definitions().values():
        page = made[f"{definition['spec']['names']['singular']}.md"]
        [version] = definition["spec"]["versions"]
        tree = version["schema"]["openAPIV3Schema"]["properties"]
        for part in ("spec", "status"):
            assert all(f"| `{name}` |" in page for name in names(tree[part]))


_ENDS = {"|", "||", "&&", ";", ">", ">>"}


def shown(text: str) -> Iterator[list[str]]:
    """Yield the words of each ``assay`` command in the code blocks of a page."""
    for block in re.findall(r"^```(?:console|sh)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            match = re.match(r"(?:\$ )?(?:kubectl assay|(?:\.venv/bin/)?assay) (.*)", line)
            if match:
                words = shlex.split(match[1], comments=True)
                yield list(itertools.takewhile(lambda word: word not in _ENDS, words))


@pytest.mark.parametrize("page", MARKDOWN)
def test_commands_and_options_in_pages_exist(page: str) -> None:
    for words in shown((ROOT / page).read_text()):
        command: click.Command = main
        context = click.Context(main)
        rest = list(words)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            found = command.get_command(context, rest.pop(0))
            assert found is not None, f"{page}: assay {shlex.join(words)}"
            command = found
        known = {option for item in command.params for option in (*item.opts, *item.secondary_opts)}
        known |= {"--help"}
        options = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert options <= known, f"{page}: assay {shlex.join(words)}"


def test_every_example_is_in_the_index() -> None:
    files = {path for path in tracked("examples") if path.endswith((".yaml", ".json", ".md"))}
    index = "examples/README.md"
    linked = set(site_pages.links(index, (ROOT / index).read_text()))
    # A folder with a page of its own tells of its files there.
    told = {path.removesuffix("README.md") for path in linked if path.endswith("/README.md")}
    assert {path for path in files - {index} if not path.startswith(tuple(told))} <= linked


def test_pictures_are_those_of_the_code() -> None:
    command = [sys.executable, str(ROOT / "tools/draw_concepts.py"), "--check"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
