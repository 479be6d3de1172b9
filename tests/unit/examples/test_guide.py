"""The guide in examples/digits: what its README says is what is run, and ends when it is told to."""

import importlib
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

import click
import pandas as pd
import pytest

from assay.cli import main as assay
from examples.digits import __main__ as guide
from examples.digits import make, signals

ROOT = pathlib.Path(__file__).parents[3]
README = (ROOT / "examples/digits/README.md").read_text()
STEPS = [
    *("Define", "Collect", "Explore", "Preprocess", "Engineer", "Select", "Train", "Evaluate"),
    *("Interpret", "Tune", "Deploy", "Monitor", "Document", "Communicate", "Iterate"),
]
SECTIONS = guide.sections(README)


def commands(program: str) -> list[list[str]]:
    """The words of every command of a program in blocks that are run."""
    text = "\n".join(block for each in SECTIONS for block in each.blocks).replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        starts = [place for place, word in enumerate(words) if word == program]
        ends = [place for place, word in enumerate(words) if word in {"|", ">", "&"}]
        found += [
            words[start + 1 : next((end for end in ends if end > start), None)] for start in starts
        ]
    return found


def test_there_are_the_fifteen_steps_and_each_runs_something() -> None:
    steps = [each for each in SECTIONS if each.number]

    assert [each.title for each in steps] == STEPS
    assert [each.number for each in steps] == list(range(1, 16))
    assert all(each.blocks for each in steps)


def test_the_script_holds_each_command_of_the_readme_and_bash_takes_it() -> None:
    text = guide.script(SECTIONS, 15)

    blocks = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)
    assert len(blocks) > 20
    assert all(f"\n{block}\n" in text for block in blocks)
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_each_option_of_assay_is_one_that_it_has() -> None:
    found = commands("assay")

    assert {words[0] for words in found} >= {
        *("advise", "train", "evaluate", "package", "status", "report")
    }
    for name, *words in found:
        command = assay.get_command(click.Context(assay), name)
        assert command is not None, name
        known = {option for each in command.params for option in each.opts}
        assert {word for word in words if word.startswith("-")} <= known, name


def test_each_program_of_the_guide_is_there() -> None:
    modules = {words[1] for words in commands("python") if words[0] == "-m"} - {"http.server"}

    assert modules == {f"examples.digits.{name}" for name in ("place", "stream", "signals")}
    assert all(hasattr(importlib.import_module(name), "main") for name in modules)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("3", [3]), ("3..5", [3, 4, 5]), ("2,7,11..12", [2, 7, 11, 12])],
)
def test_steps_by_number(text: str, numbers: list[int]) -> None:
    assert guide.steps_of(text, 15) == numbers


@pytest.mark.parametrize("text", ["", "0", "16", "5..3", "three", "1..", "7..16"])
def test_steps_that_are_not_there_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        guide.steps_of(text, 15)


def test_no_two_files_share_an_image_and_the_new_scanner_moves_them(tmp_path: pathlib.Path) -> None:
    make.make(tmp_path)
    tables = {name: pd.read_csv(tmp_path / f"{name}.csv") for name in make.SHARES}

    images = pd.concat(tables.values())
    assert len(images) == 1797
    assert not images.duplicated().any()
    kept, moved = (
        pd.concat([table for name, table in tables.items() if (name in make.MOVED) is side])
        for side in (False, True)
    )
    edges = [
        (table[[f"r{row}c1" for row in range(8)]] > 0).mean().mean() for table in (kept, moved)
    ]
    assert edges[1] < edges[0]
    assert all(set(table["digit"]) == set(range(10)) for table in tables.values())


def test_stability_is_psi_and_bins_that_nobody_has_count_as_rare() -> None:
    trained = {("a", "0"): 0.5, ("a", "1"): 0.5, ("b", "0"): 1.0, ("b", "1"): 0.0}
    served = {("a", "0"): 80.0, ("a", "1"): 20.0, ("b", "0"): 100.0}

    found = signals.stability(served, trained)

    assert list(found) == ["a", "b"]
    assert found["a"] == pytest.approx(0.3 * 0.470004 - 0.3 * -0.916291, abs=1e-6)
    assert found["b"] == 0.0


def test_macro_f1_is_scikit_learns() -> None:
    from sklearn.metrics import f1_score

    truths = ["a", "a", "b", "b", "c", "c", "c"]
    said = ["a", "b", "b", "b", "c", "a", "c"]
    counts: dict[tuple[str, ...], float] = {}
    for pair in zip(truths, said, strict=True):
        counts[pair] = counts.get(pair, 0.0) + 1.0

    assert signals.macro_f1(signals.outcomes(counts)) == pytest.approx(
        f1_score(truths, said, average="macro")
    )


def run(folder: pathlib.Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "examples.digits", *words, "--output", str(folder)]


def test_ctrl_c_ends_everything_that_it_started(tmp_path: pathlib.Path) -> None:
    process = subprocess.Popen(
        run(tmp_path, "--step", "2"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    while "== 2/15" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)

    output, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "stopped" in output
    deadline = time.monotonic() + 10.0
    while alive := _with_folder(tmp_path):
        assert time.monotonic() < deadline, alive
        time.sleep(0.1)


def _with_folder(folder: pathlib.Path) -> list[int]:
    """Processes whose working directory is the folder."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").readlink() == folder:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
