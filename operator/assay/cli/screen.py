"""The screen of `kubectl assay status`: a tree from the deployment to its pods, bars, what is waited for."""

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from assay.api.analysis import Metric
from assay.api.deployment_status import AnalysisStatus, ClusterStatus, RevisionRef, Stage, Verdict
from assay.judge.wording import count, duration
from assay.rollout.guards import KEPT
from assay.rollout.wording import moment

from .bars import ASCII, UNICODE, Glyphs, bars, dots, less_is_better, metric_named
from .deadlines import deadlines
from .member_pods import Pod, Pods
from .standing import HISTORY, Standing

_BAD_WHEN_TRUE = ("Paused", "DriftDetected", "QualityDecayed")
COLOURS = {Verdict.PROMOTE: "green", Verdict.ROLLBACK: "red", Verdict.HOLD: "yellow"}
"""Of the eight that every terminal has, those that can be read on black and on white."""


def show(console: Console, drawn: RenderableType) -> None:
    """Print; without a terminal lines end where their words do."""
    if console.is_terminal:
        console.print(drawn)
        return
    with console.capture() as captured:
        console.print(drawn)
    for line in captured.get().splitlines():
        console.out(line.rstrip(), highlight=False)


class Screen:
    """What `rich` draws; it looks at the terminal for its width and its letters."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the parts of the screen."""
        glyphs = ASCII if options.ascii_only else UNICODE
        yield from _parts(self._standing, glyphs)


def _parts(standing: Standing, glyphs: Glyphs) -> Iterator[RenderableType]:
    yield _head(standing)
    known = {item.type: item for item in standing.status.conditions}
    ready = known.get("Ready")
    if ready is not None and ready.message:
        yield Padding(Text(ready.message), (0, 0, 0, 2))
    facts = list(_facts(standing))
    if facts:
        yield Text("")
        yield _grid(facts)
    yield Text("")
    yield _tree(standing, glyphs)
    metrics = [_metric(standing, item, glyphs) for item in standing.status.analysis]
    if metrics:
        yield Text("")
        title = "evidence" if standing.running else "evidence of the last rollout"
        yield Text(title, style="bold")
        yield from metrics
    past = standing.status.history[:HISTORY]
    if past:
        yield Text("")
        yield Text("before", style="bold")
        rows = [
            (
                moment(entry.at),
                Text.assemble(
                    f"version {entry.version}: ",
                    (entry.verdict.value, COLOURS[entry.verdict]),
                    f" ({entry.reason})" + (f" by {entry.by}" if entry.by else ""),
                ),
            )
            for entry in past
        ]
        yield _grid(rows)


def _head(standing: Standing) -> Text:
    known = {item.type: item for item in standing.status.conditions}
    ready = known.get("Ready")
    words = Text(standing.name, style="bold")
    if ready is None:
        words.append("  not looked at yet", style="not bold")
    else:
        colour = "red" if "Stalled" in known else "yellow"
        colour = "green" if ready.status == "True" else colour
        words.append("  ")
        words.append(f"Ready {ready.status.value}, {ready.reason}", style=f"not bold {colour}")
    if standing.status.observed_generation != standing.generation:
        words.append(
            f"\nthe operator has not seen generation {standing.generation} of the spec yet",
            style="not bold",
        )
    return words


def _grid(rows: Sequence[tuple[str, str | Text]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows:
        table.add_row(Text(f"  {key}"), value if isinstance(value, Text) else Text(value))
    return table


def _facts(standing: Standing) -> Iterator[tuple[str, str | Text]]:
    status = standing.status
    if (verdict := standing.verdict()) is not None:
        what, why = verdict
        yield "verdict", Text.assemble((what.value, COLOURS[what]), f" ({why})")
    if steps := standing.steps():
        yield "steps", steps
    if standing.spec is not None:
        for index, each in enumerate(deadlines(standing.spec, status, standing.now)):
            yield "" if index else "time left", each.words()
    yield from _trouble(standing)
    if status.share is not None:
        yield "share", f"the canary gets {status.share} % by its ready pods"
    if (last := status.last_request) is not None:
        verb = last.verb or "unreadable"
        by = f" by {last.by}" if last.by else ""
        said = f"{verb}{by} at {moment(last.at)}: {last.result.value}. {last.message}"
        yield "last request", said
    yield from standing.lines


def _trouble(standing: Standing) -> Iterator[tuple[str, str]]:
    """Say what is not as it should be and the first lines have not said already."""
    known = {item.type: item for item in standing.status.conditions}
    said = known["Ready"].message if "Ready" in known else ""
    for kind in (*_BAD_WHEN_TRUE, "EvidenceSufficient", "MembersReachable"):
        item = known.get(kind)
        bad = item is not None and item.status.value == str(kind in _BAD_WHEN_TRUE)
        if item is not None and bad and item.message not in said:
            yield kind, item.message
    for guard in standing.status.guards:
        if standing.running is not None and guard.reason != KEPT:
            value = f"{guard.value}, " if guard.value else ""
            yield f"guard {guard.name}", f"{guard.member}: {value}{guard.limit}, {guard.reason}"


def _tree(standing: Standing, glyphs: Glyphs) -> Tree:
    status = standing.status
    tree = Tree(Text(f"ModelDeployment {standing.name.partition('/')[2]}"), guide_style="default")
    tree.add(Text.assemble("stable ", _named(status.stable)))
    if standing.running is not None and status.canary is not None:
        stage = standing.running.stage
        word = {Stage.STARTING: "starts", Stage.TRIAL: "on trial"}.get(stage, stage.value)
        tree.add(Text.assemble("canary ", _named(status.canary), (f", {word}", "cyan")))
    clusters = {item.name: item for item in status.clusters}
    width = max((len(name) for name in clusters), default=0)
    for title, names in standing.waves():
        branch = tree.add(Text(title)) if title else tree
        for name in names:
            leaf = branch.add(_member(standing, clusters[name], width, glyphs))
            _add_pods(leaf, standing, standing.pods.get(name))
    return tree


def _named(ref: RevisionRef | None) -> Text:
    if ref is None:
        return Text("none")
    return Text.assemble(("version " + ref.version, "bold"), f" ({ref.revision})")


def _member(standing: Standing, item: ClusterStatus, width: int, glyphs: Glyphs) -> Text:
    pods = f"{item.ready} of {item.desired} pods ready"
    text = Text.assemble(item.name.ljust(width), "  ")
    if not item.reachable:
        since = f" since {moment(item.unreachable_since)}" if item.unreachable_since else ""
        text.append(f"unreachable{since}", style="red")
        text.append(f": {item.message}" if item.message else "")
        return text.append(f"; last seen: {pods}")
    if standing.running is not None:
        share = "" if item.share is None else f", by pods {item.share} %"
        text.append(f"canary {item.weight} %{share}  ")
    if drawn := dots(item.ready, item.desired, glyphs):
        text.append(drawn + " ", style="green" if item.ready >= item.desired else "yellow")
    text.append(pods)
    return text.append(f"  {item.message}" if item.message else "")


def _add_pods(leaf: Tree, standing: Standing, found: Pods | None) -> None:
    if found is None:
        return
    if found.problem:
        leaf.add(Text(f"pods not known: {found.problem}"))
        return
    status = standing.status
    arms = {
        ref.revision: word
        for word, ref in (("canary", status.canary), ("stable", status.stable))
        if ref is not None
    }
    for pod in found.pods:
        leaf.add(
            _pod(standing, pod, "ledger" if not pod.revision else arms.get(pod.revision, "old"))
        )


def _pod(standing: Standing, pod: Pod, arm: str) -> Text:
    state = [pod.state]
    if pod.restarts:
        state.append("1 restart" if pod.restarts == 1 else f"{pod.restarts} restarts")
    if pod.started_at is not None:
        state.append(duration(max(0.0, (standing.now - pod.started_at).total_seconds())))
    colour = "green" if pod.ready else "red"
    return Text.assemble(f"{arm}  ", (", ".join(state), colour), f"  {pod.name}")


def _metric(standing: Standing, item: AnalysisStatus, glyphs: Glyphs) -> RenderableType:
    rollout = standing.status.rollout
    settings = rollout.settings.analysis if rollout is not None else None
    metric = metric_named(item.metric, settings.metrics) if settings else None
    dry = " (dry run)" if item.mode is not None else ""
    head = Text.assemble(
        "  ",
        (item.metric, "bold"),
        f"{dry}  ",
        (item.verdict.value, COLOURS[item.verdict]),
        f" ({item.reason})",
    )
    drawn = bars(item, metric, glyphs)
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "left", "right"):
        table.add_column(justify=justify, no_wrap=True)
    arms = (
        ("stable", item.stable, item.labels_stable),
        ("canary", item.canary, item.labels_canary),
    )
    for index, (arm, value, labels) in enumerate(arms):
        bar = Text(drawn[index], style=COLOURS[item.verdict] if index else "") if drawn else ""
        table.add_row(f"    {arm}", value or "-", bar, f"{count(labels)} labels")
    parts: list[RenderableType] = [head, table]
    if item.difference is not None and item.lower is not None and item.upper is not None:
        confidence = f"{float(settings.confidence) * 100:g} % " if settings else ""
        margin = f", margin {metric.margin}" if metric else ""
        floor = f", {_limit(metric)}" if metric and metric.floor else ""
        parts.append(
            Text(
                f"    difference {item.difference}, {confidence}band {item.lower} .. {item.upper}"
                f"{margin}{floor}"
            )
        )
    return Group(*parts)


def _limit(metric: Metric) -> str:
    return f"{'ceiling' if less_is_better(metric) else 'floor'} {metric.floor}"
