"""docs/choosing-a-metric.md, from the table of rules."""

from assay_workbench.rules import RULES, Choice, Rule

_HEAD = """\
<!-- Generated from workbench/assay_workbench/rules.py by tools/generate.py (make generate). Do not edit. -->
# Choosing a metric

A rollout is decided by the metric that you name. `assay advise` chooses one from your labels and costs, says why, and which margin
the labels of a day can support:

```console
$ assay advise march.csv --label fraud --positive 1 --cost-fp 1 --cost-fn 40 --label-rate 2
$ assay evaluate fraud-7.skops march.csv --label fraud -o json > report.json   # with measured values instead of assumed ones
$ assay advise report.json --label-rate 2
```

It prints an `analysis` block to paste under `spec.rollout` of a ModelDeployment. `--use Ranking` is for rows that are taken by score,
`--use Probabilities` for models whose probability itself is reckoned with.

These are its rules, from the top. All that hold are told; the first one that names a metric chooses what decides, and a metric that a
later one names is watched beside it (`mode: DryRun`).
"""

_TAIL = """
## Margins

The margin is the loss that you would not mind. Nobody can choose it for you, but labels set a lower limit: `assay advise` names the
smallest margin by which 80 % of the trials of an equally good version are promoted within a day, with the default steps of 5, 20 and
50 % of the traffic, by the planner behind `assay plan` ([statistics.md](statistics.md)). A wider one is faster. If no margin can be
shown in a day, it says how long a tenth of the value takes.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *(_section(rule) for rule in RULES)]) + _TAIL


def _section(rule: Rule) -> str:
    lines = [f"## {rule.name}", "", f"**When:** {rule.condition}", "", f"**Do:** {rule.advice}"]
    lines += ["", f"**Why:** {rule.why}", "", f"**Source:** {rule.source}"]
    if rule.use is not None:
        lines += ["", f"`{_written(rule.use)}`"]
    return "\n".join([*lines, ""])


def _written(choice: Choice) -> str:
    text = f"type: {choice.type}"
    if choice.average.value != "Binary":
        text += f", average: {choice.average.value}"
    if choice.multi_class is not None:
        text += f", multiClass: {choice.multi_class.value}"
    return text
