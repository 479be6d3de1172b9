"""Micro-batching: who goes with whom, what waits, what is refused, and who suffers from whom."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from assay_server.models import OverloadedError
from assay_server.models.batcher import Batcher, Batching


@dataclass
class Job:
    name: object
    count: int = 1


class Model:
    """Answers with the name of each job; holds when it is told to, fails for what it is told."""

    def __init__(self, failing=()):
        self.calls = []
        self.threads = set()
        self.failing = set(failing)
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()

    def __call__(self, jobs):
        self.entered.set()
        self.free.wait()
        self.threads.add(threading.current_thread())
        self.calls.append([job.name for job in jobs])
        if self.failing & {job.name for job in jobs}:
            raise ValueError([job.name for job in jobs])
        return [job.name for job in jobs]


def batcher(model, *, slow=False, max_rows=4, max_queue=100, wait=0.0, answered=None):
    return Batcher(
        model,
        Batching(max_queue, wait),
        worker=ThreadPoolExecutor(1) if slow else None,
        large_worker=ThreadPoolExecutor(1),
        max_rows=max_rows,
        answered=answered,
    )


async def until(condition):
    while not condition():  # noqa: ASYNC110 - threads are watched too
        await asyncio.sleep(0)


def test_what_arrives_in_one_turn_of_the_loop_goes_together_in_its_order():
    async def main():
        model = Model()
        batches = batcher(model)
        futures = [batches.ask(Job(name)) for name in "abcdef"]
        assert model.calls == []
        assert await asyncio.gather(*futures) == [*"abcdef"]
        assert model.calls == [[*"abcd"], [*"ef"]]
        assert await batches.ask(Job("g")) == "g"
        assert model.threads == {threading.main_thread()}

    asyncio.run(main())


def test_what_arrives_while_others_arrive_comes_along_and_a_lone_job_waits_for_nobody():
    async def main():
        model = Model()
        batches = batcher(model, max_rows=9)
        futures = []

        def ask(names):
            futures.extend(batches.ask(Job(name)) for name in names)

        for first, *later in (["a", "b"], ["cd", "e", "fg", "", "h"]):
            ask(first)
            for names in later:
                await asyncio.sleep(0)
                ask(names)
            await until(lambda: all(future.done() for future in futures))
        assert model.calls == [["a"], ["b"], [*"cdefg"], ["h"]]

    asyncio.run(main())


@pytest.mark.parametrize("slow", [False, True])
@given(st.lists(st.tuples(st.integers(1, 6), st.booleans(), st.booleans()), max_size=40))
def test_every_job_gets_its_own_result_or_its_own_failure(slow, kinds):
    """Whatever fails, is cancelled or is too large: nobody gets anything that is another's."""

    async def main():
        failing = {number for number, (_, fails, _) in enumerate(kinds) if fails}
        model = Model(failing)
        batches = batcher(model, slow=slow, max_queue=1000)
        futures = [batches.ask(Job(number, rows)) for number, (rows, _, _) in enumerate(kinds)]
        cancelled = {number for number, (_, _, gone) in enumerate(kinds) if gone}
        for number in cancelled:
            futures[number].cancel()
        results = await asyncio.gather(*futures, return_exceptions=True)
        for number, result in enumerate(results):
            if number in cancelled:
                assert isinstance(result, asyncio.CancelledError)
            elif number in failing:
                assert str(result) == f"[{number}]"
            else:
                assert result == number
        assert all(
            sum(kinds[number][0] for number in call) <= 4 or len(call) == 1 for call in model.calls
        )
        await until(lambda: batches.metrics.jobs == 0)
        assert batches.metrics.waiting_rows == 0

    asyncio.run(main())


def test_a_slow_model_runs_in_one_thread_and_the_loop_stays_alive():
    async def main():
        model = Model()
        model.free.clear()
        batches = batcher(model, slow=True)
        first = batches.ask(Job("a"))
        await until(model.entered.is_set)
        rest = [batches.ask(Job(name)) for name in "bcd"]
        await asyncio.sleep(0)  # the loop turns while the model works
        assert batches.metrics.jobs == 4
        model.free.set()
        assert await asyncio.gather(first, *rest) == [*"abcd"]
        assert model.calls == [["a"], [*"bcd"]]
        assert len(model.threads) == 1
        assert threading.main_thread() not in model.threads

    asyncio.run(main())


def test_small_jobs_do_not_wait_for_large_ones():
    async def main():
        model = Model()
        model.free.clear()
        batches = batcher(model)
        large = batches.ask(Job("large", 5))
        await until(model.entered.is_set)
        model.free.set()
        small = batches.ask(Job("small"))
        assert {await small, await large} == {"small", "large"}
        assert len(model.threads) == 2

    asyncio.run(main())


def test_beyond_the_queue_jobs_are_refused_and_taken_again_when_it_is_shorter():
    async def main():
        model = Model()
        model.free.clear()
        batches = batcher(model, slow=True, max_queue=3)
        taken = [batches.ask(Job("a", 2)), batches.ask(Job("b", 2))]
        with pytest.raises(OverloadedError):
            batches.ask(Job("c"))
        assert batches.metrics.waiting_rows == 4
        assert batches.metrics.rejected == 1
        model.free.set()
        assert await asyncio.gather(*taken) == ["a", "b"]
        assert await batches.ask(Job("c")) == "c"

    asyncio.run(main())


def test_those_who_left_make_room():
    async def main():
        model = Model()
        model.free.clear()
        batches = batcher(model, slow=True, max_queue=3)
        first = batches.ask(Job("a"))
        await until(model.entered.is_set)
        left = [batches.ask(Job("b")), batches.ask(Job("c"))]
        for future in left:
            future.cancel()
        last = batches.ask(Job("d"))
        model.free.set()
        assert [await first, await last] == ["a", "d"]
        assert model.calls == [["a"], ["d"]]
        assert batches.metrics.rejected == 0

    asyncio.run(main())


def test_one_bad_job_costs_its_neighbours_few_calls():
    async def main():
        model = Model({13})
        batches = batcher(model, max_rows=64)
        futures = [batches.ask(Job(number)) for number in range(64)]
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert [number for number, result in enumerate(results) if result != number] == [13]
        assert len(model.calls) <= 2 * 6 + 1

    asyncio.run(main())


def test_a_bounded_wait_gathers_more():
    async def main():
        model = Model()
        batches = batcher(model, wait=0.001, max_rows=10)
        first = batches.ask(Job("a"))
        await asyncio.sleep(0)
        second = batches.ask(Job("b"))
        assert [await first, await second] == ["a", "b"]
        assert model.calls == [["a", "b"]]

    asyncio.run(main())


def test_what_was_answered_is_told_before_the_replies():
    told = []

    async def main():
        batches = batcher(
            Model({"b"}),
            answered=lambda jobs, results: told.append(
                ([job.name for job in jobs], [str(result) for result in results])
            ),
        )
        futures = [batches.ask(Job(name)) for name in "abc"]
        await asyncio.gather(*futures, return_exceptions=True)

    asyncio.run(main())
    assert told == [(["a", "b", "c"], ["a", "['b']", "c"])]


def test_the_metrics_are_those_of_prometheus():
    async def main():
        batches = batcher(Model(), max_rows=300)
        await asyncio.gather(*[batches.ask(Job(number, 3)) for number in range(5)])
        await batches.ask(Job("x", 300))
        return batches.metrics.text({"deployment": "d"})

    found = {
        (sample.name, sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(asyncio.run(main()))
        for sample in family.samples
    }
    assert found["assay_batch_rows_count", None] == 2
    assert found["assay_batch_rows_sum", None] == 315
    assert found["assay_batch_rows_bucket", "8"] == 0
    assert found["assay_batch_rows_bucket", "16"] == 1
    assert found["assay_batch_rows_bucket", "+Inf"] == 2
    assert found["assay_queue_rows", None] == 0
    assert found["assay_rejected_total", None] == 0
