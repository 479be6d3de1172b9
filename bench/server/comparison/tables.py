"""The report as Markdown, which reads well in a terminal too, and its place in a document. Pure."""

from collections.abc import Sequence
from pathlib import Path

from bench.server.comparison.goals import Goal
from bench.server.comparison.results import Cell, Results

BEGIN = "<!-- bench.server.compare: begin -->"
END = "<!-- bench.server.compare: end -->"


class NoPlaceError(Exception):
    """The document has no markers between which the report belongs."""


def number(value: float) -> str:
    """Return a number with three significant digits or all of those before the point."""
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with columns of even width; all but the first are set right."""
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(head), line(rule), *(line(row) for row in rows)])


def model_table(
    results: Results, model: str, servers: Sequence[tuple[str, str]], connections: Sequence[int]
) -> str:
    """Return the table of one model; `servers` are names and titles, those without runs left out."""
    most = max(connections)
    head = ["server"]
    for count in connections:
        head += [f"c{count} req/s", "p50 / p99 (wrk's) ms"]
    head += ["us CPU", "errors", "RSS / PSS MiB", "cold s"]
    rows = []
    for name, title in servers:
        cells = [results.cell(model, name, count) for count in connections]
        visit = results.visit(model, name)
        if visit is None:
            continue
        row = [title]
        for cell in cells:
            row += [_rate(cell), _latency(cell)]
        busiest = results.cell(model, name, most)
        row += [
            "-" if busiest is None else number(busiest.microseconds),
            str(sum(cell.errors for cell in cells if cell is not None)),
            f"{visit.resident:.0f} / {visit.proportional:.0f}",
            f"{visit.cold_seconds:.2f}",
        ]
        rows.append(row)
    return grid(head, rows)


def goal_table(goals: Sequence[Goal]) -> str:
    """Return the table of goals."""
    words = {True: "holds", False: "**missed**", None: "not measured"}
    rows = [[goal.what, goal.bound, goal.measured or "-", words[goal.holds]] for goal in goals]
    return grid(["goal", "bound", "measured", ""], rows)


def place(document: str, report: str, first: str = BEGIN, last: str = END) -> str:
    """Return the document with the report between its markers. Raises NoPlaceError."""
    before, begin, rest = document.partition(first)
    _, end, after = rest.partition(last)
    if not (begin and end):
        raise NoPlaceError(f"there is no place for the report: {first} ... {last}")
    return f"{before}{begin}\n\n{report.strip()}\n\n{end}{after}"


def write(path: Path, report: str) -> None:
    """Put the report into a file. Raises NoPlaceError or OSError."""
    path.write_text(place(path.read_text(), report))


def _rate(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    mark = "~" if cell.disturbed else ""
    if cell.runs == 1:
        return mark + number(cell.rate)
    return f"{number(cell.rate)} ({number(cell.lowest)}-{number(cell.highest)})"


def _latency(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    return f"{_ms(cell.p50)} / {_ms(cell.p99)} ({_ms(cell.corrected_p99)})"


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}"
