"""One cell of the grid: runs under three truths, judged by Assay and by its peers."""

from typing import Any

import numpy as np

from tests.simulation import draws, peers
from tests.simulation.ends import Ledger
from tests.simulation.judging import Cells, Kind, judged
from tests.simulation.models import BINS
from tests.simulation.scenarios import SHORT, TRUTHS, Scenario
from tests.simulation.values import Floats

KAYENTA_RUNS = 200


def run_cell(scenario: Scenario, runs: int, *, with_peers: bool = True) -> dict[str, Any]:
    """Simulate a cell; the result is plain JSON."""
    return {
        "n80": scenario.needs(0.8),
        "n95": scenario.needs(0.95),
        "margin": scenario.margin,
        "per look": scenario.per_look,
        "truths": {
            truth: _run_truth(scenario, truth, runs, with_peers=with_peers) for truth in TRUTHS
        },
    }


def _run_truth(scenario: Scenario, truth: str, runs: int, *, with_peers: bool) -> dict[str, Any]:
    chances = scenario.arms(TRUTHS[truth])
    kind = Kind.of(scenario.spec, bins=BINS if scenario.metric == "AUC" else 0)
    labels = scenario.per_look * np.arange(1.0, scenario.looks + 1.0)
    ours, others = Ledger(), Ledger()
    done = 0
    for count, rng in draws.batches(
        f"{scenario.name} {truth}", runs, draws.batch_size(scenario.looks, len(chances[0]))
    ):
        rows = draws.rows(rng, count, scenario.per_look, scenario.share, scenario.looks)
        arms = [draws.cells(rng, *arm) for arm in zip(rows, chances, strict=True)]
        totals = [np.cumsum(arm, axis=1)[:, :, None] for arm in arms]
        ours.add(judged(Cells(kind, *totals), labels))
        if with_peers:
            _ask_peers(scenario, arms, labels, others, KAYENTA_RUNS - done)
        done += count
    return {"ours": ours.tallies(), "peers": others.tallies()}


def _ask_peers(
    scenario: Scenario, arms: list[Floats], labels: Floats, ledger: Ledger, kayenta_runs: int
) -> None:
    """Let every peer judge one batch, from rows per look (runs, looks, C) of stable and canary."""
    value, margin = scenario.value, scenario.margin
    stable, canary = (scenario.coarser(arm) for arm in arms)
    totals = np.cumsum(stable, axis=1), np.cumsum(canary, axis=1)
    ledger.add(peers.each_look(value, scenario.variance, totals, labels, margin))
    if scenario.horizon != SHORT:
        return
    threshold = float(value(scenario.arms(0.0)[0])) - margin
    ledger.add(peers.windowed(value, canary, threshold, scenario.per_look))
    if kayenta_runs > 0:
        some = stable[:kayenta_runs], canary[:kayenta_runs]
        ledger.add(peers.mann_whitney(value, some, scenario.per_look))
