"""The report: what was run, the goals, a table for each model, versions."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from bench.server.comparison import goals, tables
from bench.server.comparison.measurement import WARM_SECONDS, Plan
from bench.server.comparison.results import MOST_FOREIGN, Results
from bench.server.comparison.servers import ECHO, OURS, PEERS, Server
from bench.server.comparison.workloads import MODELS


def report(
    results: Results, plan: Plan, faults: Mapping[str, str], *, command: str, where: str
) -> str:
    """Return the report in Markdown; `faults` says what failed and how."""
    peers = [server.name for server in PEERS if server in plan.servers]
    judged = goals.judge(results, goals.Names(OURS, ECHO, peers))
    titles = [(server.name, server.title) for server in plan.servers]
    parts = [
        f"`{command}`, {datetime.now(UTC).date().isoformat()}, {where}.",
        _method(results, plan),
        tables.goal_table(judged),
    ]
    for model in plan.models:
        title = (MODELS[model].__doc__ or model).strip().rstrip(".")
        parts += [f"{title}:", tables.model_table(results, model, titles, plan.connections)]
        parts += _thrift(results, model, peers, max(plan.connections))
    parts.append(_versions(plan.servers))
    parts += [f"Failed: {name}: {text.splitlines()[0]}" for name, text in faults.items()]
    return "\n\n".join(parts)


def _versions(servers: Sequence[Server]) -> str:
    """Name the versions, each list once with all the servers that it is true of."""
    alike: dict[str, list[str]] = {}
    for server in servers:
        alike.setdefault(server.versions(), []).append(server.name)
    lines = (f"- {', '.join(names)}: {versions}" for versions, names in alike.items())
    return "\n".join(("Versions:", "", *lines))


def _thrift(results: Results, model: str, peers: Sequence[str], connections: int) -> list[str]:
    """Compare processor time per answer, which other work on the machine disturbs least."""
    ours = results.cell(model, OURS, connections)
    cells = {peer: results.cell(model, peer, connections) for peer in peers}
    costs = {peer: cell.microseconds for peer, cell in cells.items() if cell is not None}
    if ours is None or not costs:
        return []
    least = min(costs, key=costs.__getitem__)
    times = costs[least] / ours.microseconds
    line = (
        f"Processor time per answer at {connections} connections: {tables.number(times)} times less"
    )
    return [f"{line} than the thriftiest peer's ({least})."]


def _method(results: Results, plan: Plan) -> str:
    most = max(plan.connections)
    return (
        "Server on one core, `wrk -t1` on another, kept connections, closed loop."
        f" {plan.rounds} rounds, in each of which every server takes its turn: {WARM_SECONDS} s of"
        f" warming, then {plan.seconds:g} s at each number of connections. One row per request, the same"
        " request for all; answers were checked against scikit-learn. Fields are medians (range). p50 and p99 are"
        " of what requests met; in brackets is wrk's own p99, which counts requests that were never sent"
        " (`bench/server/comparison/wrk.py`). `us CPU` is"
        f" the server's processor time per answer at {most} connections, memory is after the load, `cold`"
        f" is from exec to the first right answer. {results.dropped()} of {len(results.runs)} runs are left"
        f" out, with more than {MOST_FOREIGN} cores of foreign load; `~` marks what has no other. A ratio is"
        " the median over rounds of ours to the fastest rival's in that round."
    )
