"""`assay train`: the example runs as the docs say, and gives the same digest everywhere."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from assay_server.artifacts.model import load
from assay_server.artifacts.signature import verify
from assay_server.reference import Reference
from assay_workbench.commands.train import train_command

ROOT = Path(__file__).parents[4]
ASSAY = (sys.executable, "-c", "from assay.cli import main; main()")


def made(folder: Path) -> Path:
    """Make the example in a folder, with fewer rows."""
    runpy.run_path(str(ROOT / "examples/train/make.py"))["make"](folder, rows=900)
    return folder / "churn.yaml"


def other_host() -> tuple[str, ...]:
    """Return the start of a command that runs under another host name, where that is allowed."""
    way = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh")
    if shutil.which("unshare") is None:
        return ()
    tried = subprocess.run([*way, "true"], capture_output=True, check=False)
    return way if tried.returncode == 0 else ()


@pytest.fixture(scope="module")
def churn(tmp_path_factory):
    """Train the example twice: here, and under another name, in another place and time zone."""
    printed = {}
    for name, more, start in (
        ("here", {"TZ": "UTC", "PYTHONHASHSEED": "1", "LC_ALL": "C"}, ()),
        (
            "a very much longer name",
            {"TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "2", "HOME": "/nonexistent"},
            other_host(),
        ),
    ):
        folder = tmp_path_factory.mktemp("x") / name
        recipe = made(folder)
        command = [*start, *ASSAY, "train", recipe.name, "-o", "out"]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False,
            env={**os.environ, **more},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        printed[name] = (folder / "out", done.stdout)
    return printed


def digest_in(printed: str) -> str:
    return re.search(r"^digest (sha256:[0-9a-f]{64})$", printed, re.MULTILINE).group(1)


def test_the_digest_is_the_same_elsewhere(churn):
    (here, first), (there, second) = churn.values()
    assert digest_in(first) == digest_in(second)
    assert (here / "model.skops").read_bytes() == (there / "model.skops").read_bytes()


def test_the_server_loads_what_was_printed(churn):
    folder, printed = churn["here"]
    loaded = load(folder / "model.skops", digest_in(printed))
    assert loaded.object.classes_.tolist() == ["leave", "stay"]
    reference = Reference.parse(loaded.reference)
    assert [each.name for each in reference.features] == [
        "months", "income", "minutes", "bill", "calls", "plan", "region",
    ]  # fmt: skip
    kinds = {type(each).__name__ for each in reference.features}
    assert kinds == {"Numeric", "Categorical"}


def test_what_is_printed(churn):
    text = " ".join(churn["here"][1].split())
    for words in (
        "trained on 630 rows of customers.csv and judged on 270 others",
        "country ignore has one value only (Freedonia)", "plan categorical holds texts",
        "3 trials over 4 stratified folds", "average precision of 'leave'",
        "it is cheapest to predict 'leave' from", "column loss of AveragePrecision deviation",
    ):  # fmt: skip
        assert words in text, words


def test_the_card(churn):
    folder, printed = churn["here"]
    card = (folder / "card.md").read_text()
    for words in (
        "Which customers of a small provider", "| leave | has given notice within a month |",
        digest_in(printed), "| customers.csv | 900 | `sha256:", "clipped to the quantiles 0.01 and 0.99",
        "## Search", "## Limits of use", "Only to choose whom to call", "| scikit-learn |",
        "average precision of 'leave'", "- calls: the mean score of 'leave' is",
    ):  # fmt: skip
        assert words in card, words
    assert str(folder.parent) not in card


def test_the_report_is_whole_and_small(churn):
    page = (churn["here"][0] / "report.html").read_text()
    assert len(page) < 2_000_000
    assert not re.search(r'(?:src|href)="(?!#)|@import|url\((?!#)', page)
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    titles = [re.search(r"<title[^>]*>(.*?)</title>", each).group(1) for each in pictures]
    assert titles == [
        "Class balance", "Missing values", "Correlations", "Outliers", "ROC curve",
        "Precision and recall", "Calibration", "Cost against threshold", "Permutation importance",
        "Partial dependence", "Weights",
    ]  # fmt: skip
    assert all("<desc" in each for each in pictures)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for words in (
        "Rows taken apart",
        "Thresholds for leave",
        "Confusion matrix",
        "AveragePrecision",
    ):
        assert words in page, words


def test_nothing_but_the_three_files_is_left(churn):
    for folder, _ in churn.values():
        assert {each.name for each in folder.iterdir()} == {"model.skops", "card.md", "report.html"}


def test_a_signature_that_the_server_accepts(tmp_path, key_pair):
    private, signers = key_pair
    recipe = made(tmp_path)
    text = recipe.read_text()
    recipe.write_text(text[: text.index("search:")] + "seed: 7\n")
    words = [str(recipe), "-o", str(tmp_path / "out"), "--sign-key"]

    found = CliRunner().invoke(train_command, [*words, str(private)])
    assert found.exit_code == 0, found.output
    signature = tmp_path / "out/model.skops.sig"
    assert f"signature {signature}\n" in found.output
    signed = verify(signature.read_bytes(), signers, "model.skops", digest_in(found.output))
    assert signed == "team.pub"

    # What is not signed has no signature of another model beside it.
    found = CliRunner().invoke(train_command, words[:-1])
    assert found.exit_code == 0, found.output
    assert not signature.exists()

    found = CliRunner().invoke(train_command, [*words, str(recipe)])
    assert found.exit_code == 2
    assert f"--sign-key: {recipe}: is no private key" in found.output


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[customer]",
            "[customer, region]\n  numeric: [plan]",
            "column 'plan': 'plus' is no number",
        ),
        (
            "{max_iter: 500}",
            "{c: 1}",
            "churn.yaml: estimator.parameters.c: LogisticRegression has no",
        ),
        ("seed: 7", "sed: 7", "churn.yaml: sed: is not known here"),
        ("label: outcome", "label: left", "customers.csv: has no column 'left'; it has 'customer'"),
        (
            "C: [0.01",
            "C: [-1",
            "churn.yaml: search.grid.C[0]: The 'C' parameter of LogisticRegression must be",
        ),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(tmp_path, old, new, message):
    recipe = made(tmp_path)
    recipe.write_text(recipe.read_text().replace(old, new))
    found = CliRunner().invoke(train_command, [str(recipe), "-o", str(tmp_path / "out")])
    assert found.exit_code == 2
    assert message in found.output
    assert "Traceback" not in found.output
    assert not (tmp_path / "out").exists()


def test_names_in_brackets_are_printed_as_they_are(tmp_path):
    recipe = made(tmp_path)
    for path in (recipe, tmp_path / "customers.csv"):
        path.write_text(path.read_text().replace("country", "bill [eur]"))
    text = recipe.read_text()
    recipe.write_text(text[: text.index("search:")] + "seed: 7\n")
    found = CliRunner().invoke(train_command, [str(recipe), "-o", str(tmp_path / "out")])
    assert found.exit_code == 0, found.output
    assert "bill [eur]" in found.output


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path):
    recipe = made(tmp_path).rename(tmp_path / "churn")
    found = CliRunner().invoke(train_command, [str(recipe)])
    assert found.exit_code == 2
    assert "churn: is no folder; name one with --output" in found.output
