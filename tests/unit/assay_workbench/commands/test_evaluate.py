"""`assay evaluate`: what it prints and writes, and what it says when something is wrong."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from assay_workbench.document import FORMAT


def test_the_table(run, binary):
    printed = run(
        binary.model, binary.data, "--positive", "good", "--cost-fp", 1, "--cost-fn", 4,
        "--baseline", binary.baseline,
    )  # fmt: skip
    text = " ".join(printed.split())
    for words in (
        "on 900 rows", "The positive class is 'good'", "ROC AUC of 'good'", "95 % interval", "Wilson",
        "Confusion matrix", "Thresholds for 'good'", "it is cheapest to predict 'good' from",
        "McNemar's exact test", "the model is", "mean cost of a row",
    ):  # fmt: skip
        assert words in text, words


def test_the_json(read, binary):
    found = read(binary.model, binary.data, "--baseline", binary.baseline, "--threshold", 0.3)
    assert found["format"] == FORMAT
    assert found["model"]["threshold"] == 0.3
    assert found["data"]["rows"] == 900
    assert found["positive"] == "good"
    assert {each["interval"] for each in found["metrics"]} == {
        "Wilson", "WilsonF1", "Logit", "Normal", None,
    }  # fmt: skip
    assert set(found["intervals"]) == {"Wilson", "WilsonF1", "Logit", "Normal"}
    assert found["comparison"]["differences"][0]["metric"] == "Accuracy"
    (curves,) = found["curves"]
    assert len(curves["roc"]["truePositiveRate"]) <= 202


def test_json_of_rows_that_do_not_fit_has_no_infinite_number(binary, tmp_path):
    from assay_workbench.document import Origin, document
    from assay_workbench.thresholds import Costs

    found = document(binary.evaluated(4_000, costs=Costs(1, 2)), Origin("m", "d", "data", "label"))
    text = json.dumps(found, allow_nan=False)
    assert not json.loads(text)["exact"]


def test_many_classes_do_not_flood_the_terminal(run, tmp_path):
    import pandas as pd
    import skops.io
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression

    rows, codes = make_classification(
        n_samples=1500, n_features=12, n_informative=10, n_redundant=0, n_classes=40,
        n_clusters_per_class=1, random_state=1,
    )  # fmt: skip
    frame = pd.DataFrame(rows, columns=[f"f{place}" for place in range(12)])
    labels = [f"class{code}" for code in codes]
    skops.io.dump(LogisticRegression().fit(frame, labels), tmp_path / "model.skops")
    frame.assign(label=labels).to_csv(tmp_path / "data.csv", index=False)
    text = run(tmp_path / "model.skops", tmp_path / "data.csv", "--html", tmp_path / "r.html")
    assert len(text.splitlines()) < 60
    assert "and 20 more" in " ".join(text.split())
    assert (tmp_path / "r.html").stat().st_size < 2_000_000


class Page(HTMLParser):
    """Collects what a page needs from elsewhere, and its pictures."""

    def __init__(self, text):
        super().__init__()
        self.outside, self.pictures, self.ids, self.titles = [], [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag in {"script", "link", "img", "iframe"}:
            self.outside.append(tag)
        self.outside += [value for name, value in attrs if name in {"src", "srcset"}]
        self.ids += [found["id"]] if "id" in found else []
        self.titles += tag == "desc"
        if tag == "svg":
            self.pictures.append(found)


@pytest.mark.parametrize("name", ["binary", "animals"])
def test_the_page_is_whole_and_small(run, request, tmp_path, name):
    case = request.getfixturevalue(name)
    positive = {"binary": "good", "animals": "cat"}[name]
    path = tmp_path / "report.html"
    run(
        case.model, case.data, "--html", path, "--baseline", case.baseline, "--positive", positive,
        "--cost-fp", 1, "--cost-fn", 2,
    )  # fmt: skip
    text = path.read_text()
    assert len(text) < 2_000_000
    page = Page(text)
    assert page.outside == []
    assert "url(http" not in text
    assert "@import" not in text
    assert len(page.pictures) == page.titles == 4
    assert len(set(page.ids)) == len(page.ids)
    for picture in page.pictures:
        assert picture["role"] == "img"
        assert set(picture["aria-labelledby"].split()) <= set(page.ids)
    # No stand-in for a colour is left, so that the page's own are taken, light or dark.
    assert not re.search(r"#0a0[bc]", text)
    assert "prefers-color-scheme: dark" in text


def test_names_from_files_do_not_become_markup(binary, tmp_path, run):
    table = tmp_path / "a<b>&.csv"
    table.write_text(binary.data.read_text())
    run(binary.model, table, "--html", tmp_path / "r.html")
    assert "a&lt;b&gt;&amp;.csv" in (tmp_path / "r.html").read_text()


def test_colours_are_told_apart_from_the_paper():
    from importlib.resources import files

    text = files("assay_workbench").joinpath("page.html.j2").read_text()
    light, dark = (
        dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", part))
        for part in text.split("prefers-color-scheme: dark", 1)
    )
    for theme in (light, dark):
        for name, colour in theme.items():
            least = {"ink": 7.0, "soft": 4.5, "good": 4.5, "bad": 4.5}.get(name)
            if name.startswith("series"):
                least = 4.5
            if least is not None:
                assert _contrast(colour, theme["card"]) >= least, (name, colour)


def _contrast(one, other):
    """WCAG 2.2, contrast ratio."""
    first, second = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (first + 0.05) / (second + 0.05)


def _luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cost-fp", 1], "--cost-fp and --cost-fn go together"),
        (["--cost-fp", 0, "--cost-fn", 0], "are both 0"),
        (["--label", "truth"], "has no column 'truth'"),
        (["--positive", "best"], "'best' is no class"),
        (["--baseline-threshold", 0.3], "goes with --baseline"),
        (["--html", "/nowhere/report.html"], "No such file"),
    ],
    ids=["one cost", "no costs", "label", "positive", "threshold", "html"],
)
def test_what_is_wrong_is_said(run, binary, options, message):
    assert message in run(binary.model, binary.data, *options, code=2)


def test_other_commands_do_not_pay_for_it():
    code = (
        "import sys; from click.testing import CliRunner; from assay.cli import main;"
        "print(CliRunner().invoke(main, ['--help']).output);"
        "print([name for name in ('sklearn', 'pyarrow', 'matplotlib', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "evaluate" in done.stdout
    assert done.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize("gone", ["pyarrow", "assay_workbench"])
def test_without_the_extra_the_command_says_what_to_install(gone):
    code = (
        f"import sys; sys.modules[{gone!r}] = None; from assay.cli import main;"
        "main(['evaluate', 'm.skops', 'd.csv', '--positive', '1'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f'needs {gone}: pip install "assay[workbench]"' in done.stderr
