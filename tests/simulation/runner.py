"""Runs tasks in two worker processes, keeps what is finished, and shows how far it is."""

import concurrent.futures
import json
import multiprocessing
import signal
import time
from collections.abc import Sequence
from typing import Any

from tests.simulation.cache import Cache
from tests.simulation.catalogue import Task
from tests.simulation.goals import Results


def run(tasks: Sequence[Task], runs: int, cache: Cache, jobs: int) -> Results:
    """Run what the cache does not have; Ctrl-C keeps what is finished and raises."""
    results: Results = {}
    for task in tasks:
        found = cache.load(task, task.runs(runs))
        if found is not None:
            results[task.name] = found
    left = [task for task in tasks if task.name not in results]
    if len(left) < len(tasks):
        print(
            f"{len(tasks) - len(left)} of {len(tasks)} are there from before (--fresh forgets them)"
        )
    if not left:
        return results
    progress = _Progress(len(left))
    pool = concurrent.futures.ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), initializer=_ignore_interrupts
    )
    try:
        waiting = {pool.submit(_timed, task, task.runs(runs)): task for task in left}
        for future in concurrent.futures.as_completed(waiting):
            task = waiting[future]
            result, seconds = future.result()
            cache.save(task, task.runs(runs), result)
            results[task.name] = result
            progress.done(task, seconds)
    except BaseException:
        _stop(pool)
        raise
    pool.shutdown()
    return results


def save_json(results: Results, meta: dict[str, Any]) -> str:
    """Return the text of a results file: one task per line, sorted."""
    lines = [
        f"    {json.dumps(name)}: {json.dumps(_rounded(results[name]))}" for name in sorted(results)
    ]
    body = ",\n".join(lines)
    return f'{{\n  "meta": {json.dumps(meta)},\n  "results": {{\n{body}\n  }}\n}}\n'


class _Progress:
    """One line per finished task: how many are done, and how long the rest will take."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._start = time.monotonic()
        print(f"{total} to run", flush=True)

    def done(self, task: Task, seconds: float) -> None:
        self._done += 1
        passed = time.monotonic() - self._start
        left = passed / self._done * (self._total - self._done)
        print(
            f"{self._done:4d}/{self._total}  {task.name:<72.72s} {seconds:6.1f} s   "
            f"{_minutes(passed)} passed, about {_minutes(left)} left",
            flush=True,
        )


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _timed(task: Task, runs: int) -> tuple[dict[str, Any], float]:
    start = time.monotonic()
    return task.run(runs), time.monotonic() - start


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _stop(pool: concurrent.futures.ProcessPoolExecutor) -> None:
    pool.shutdown(wait=False, cancel_futures=True)
    for process in list((pool._processes or {}).values()):
        process.terminate()


def _rounded(value: Any) -> Any:
    """Six significant digits: results files are read by people too."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return value
