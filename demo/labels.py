"""Brings true labels back to the ledgers: late, in batches, and until they are answered.

Each label goes to the ledger of the member that served the prediction. A share of them is sent
twice, much later, or to the wrong member first, as clients do.
"""

import asyncio
import heapq
import itertools
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from demo.log import Log, Prediction

_TICK_SECONDS = 0.1
_BATCH_MAX = 500
_RETRY_SECONDS = 0.25
_REFUSED = frozenset({400, 413})  # asking again would not help
_TIMEOUT = aiohttp.ClientTimeout(total=10.0)


@dataclass(frozen=True)
class LabelSettings:
    """When and how labels come.

    Attributes
    ----------
    share
        Share of the predictions whose truth ever becomes known.
    mean_delay_seconds
        Delays are exponential with this mean, at most five times as long.
    duplicate_share, misdirected_share
        Shares of the labels that are sent a second time, and to another member first.
    late_share, late_seconds
        Share of the labels that come this much later still.
    """

    share: float = 1.0
    mean_delay_seconds: float = 1.5
    duplicate_share: float = 0.0
    misdirected_share: float = 0.0
    late_share: float = 0.0
    late_seconds: float = 10.0
    seed: int = 2


@dataclass(frozen=True, slots=True)
class _Label:
    prediction: Prediction
    member: str
    repeated: bool = False


class LabelSender:
    """Holds labels until they are due and sends them.

    Parameters
    ----------
    model
        Name of the ModelDeployment.
    ledgers
        Base URL of each member's ledger Service.
    """

    def __init__(
        self, model: str, ledgers: Mapping[str, str], settings: LabelSettings, log: Log
    ) -> None:
        self._path = f"/v2/models/{model}/feedback"
        self._ledgers = dict(ledgers)
        self._settings = settings
        self._log = log
        self._random = random.Random(settings.seed)
        self._due: list[tuple[float, int, _Label]] = []
        self._order = itertools.count()

    def add(self, predictions: Sequence[Prediction]) -> None:
        """Take predictions; each gets its label when the time has come."""
        for prediction in predictions:
            if self._random.random() >= self._settings.share:
                prediction.label = "never"
                continue
            self._plan(prediction)

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Send labels as they become due, until cancelled. Every member has its own pace."""
        async with asyncio.TaskGroup() as group:
            queues: dict[str, asyncio.Queue[_Label]] = {}
            for member in self._ledgers:
                queues[member] = asyncio.Queue()
                group.create_task(self._serve(session, member, queues[member]))
            while True:
                now = time.monotonic()
                while self._due and self._due[0][0] <= now:
                    label = heapq.heappop(self._due)[2]
                    queues[label.member].put_nowait(label)
                await asyncio.sleep(_TICK_SECONDS)

    def _plan(self, prediction: Prediction) -> None:
        chance, settings = self._random, self._settings
        mean = settings.mean_delay_seconds
        delay = min(chance.expovariate(1 / mean), 5 * mean) if mean > 0 else 0.0
        if chance.random() < settings.late_share:
            delay += settings.late_seconds
        others = [member for member in self._ledgers if member != prediction.member]
        member = prediction.member
        if others and chance.random() < settings.misdirected_share:
            member = chance.choice(others)
        self._push(_Label(prediction, member), delay)
        if chance.random() < settings.duplicate_share:
            again = _Label(prediction, prediction.member, repeated=True)
            self._push(again, delay + 5 * _RETRY_SECONDS)

    def _push(self, label: _Label, delay: float) -> None:
        heapq.heappush(self._due, (time.monotonic() + delay, next(self._order), label))

    async def _serve(
        self, session: aiohttp.ClientSession, member: str, queue: "asyncio.Queue[_Label]"
    ) -> None:
        while True:
            batch = [await queue.get()]
            while len(batch) < _BATCH_MAX and not queue.empty():
                batch.append(queue.get_nowait())
            statuses = await self._send(session, member, batch)
            self._log.labelled(statuses)
            for label, status in zip(batch, statuses, strict=True):
                self._note(label, status)

    def _note(self, label: _Label, status: str) -> None:
        if status == "wrong_member" and label.member != label.prediction.member:
            self._push(_Label(label.prediction, label.prediction.member), 0.0)
        elif not label.repeated or label.prediction.label is None:
            label.prediction.label = status

    async def _send(
        self, session: aiohttp.ClientSession, member: str, batch: Sequence[_Label]
    ) -> list[str]:
        """Return the ledger's answer for each label, asking again until there is one."""
        body = {
            "labels": [
                {"receipt": label.prediction.receipt, "label": label.prediction.truth}
                for label in batch
            ]
        }
        while True:
            statuses = await self._try(session, self._ledgers[member] + self._path, body)
            if statuses is not None and len(statuses) == len(batch):
                return statuses
            self._log.retried()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _try(
        self, session: aiohttp.ClientSession, url: str, body: dict[str, Any]
    ) -> list[str] | None:
        """One try; None when nobody answered for the ledger (refused, restarting, overloaded)."""
        try:
            async with session.post(url, json=body, timeout=_TIMEOUT) as response:
                if response.status in _REFUSED:
                    return [f"refused-{response.status}"] * len(body["labels"])
                # 421: every label of the batch belongs to another member; the results say so.
                if response.status not in (200, 421):
                    return None
                answer = await response.json()
            return [str(result["status"]) for result in answer["results"]]
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError):
            return None
