"""Part 1 of the tutorial, which needs no cluster, runs as it says."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from assay.cli import main
from tests import tutorial


def test_part_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tutorial.PAGE.parent.parent
    (tmp_path / "examples").symlink_to(root / "examples")
    monkeypatch.chdir(tmp_path)
    said = {}
    for line in "".join(tutorial.blocks("part 1")).splitlines():
        program, *words = shlex.split(line)
        if program == ".venv/bin/python":
            monkeypatch.setattr(sys, "argv", words)
            runpy.run_path(words[0], run_name="__main__")
            continue
        assert program == ".venv/bin/assay"
        answer = CliRunner().invoke(main, words)
        assert answer.exit_code == 0, answer.output
        said[words[0]] = answer.output
    assert "Against tutorial/old.skops, on the same rows" in said["evaluate"]
    assert said["judge"].startswith("Promote (NotWorse)")
    assert "promoted in 80 %" in said["plan"]
    assert "-1x" in said["simulate"]


def test_every_command_of_the_page_is_run_or_makes_what_the_others_need() -> None:
    page = tutorial.PAGE.read_text()
    shown = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    run = [*tutorial.blocks("part 1"), *tutorial.blocks("part 3"), tutorial.preparation()]
    assert [block for block in shown if block not in run] == [
        "make setup\n",
        "make demo KEEP=1\n",
        ".venv/bin/fleet down --name demo\n",
    ]
