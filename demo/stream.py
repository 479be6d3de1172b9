"""The load client: a steady stream of predictions through the members' gateways, no retries.

Rows are drawn, with a fixed seed, from the held-out rows; most requests carry one row, some
several. Requests go out by the clock, whether or not earlier ones were answered, so a slow server
is not spared. What comes back goes into the log, and to `labels`, which brings the truth later.
"""

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
import numpy as np
import numpy.typing as npt

from demo.labels import LabelSender, LabelSettings
from demo.log import Failure, Log, Prediction, where_served

TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True)
class Target:
    """Where one member takes predictions and labels.

    Attributes
    ----------
    gateway
        Base URL of the member's gateway.
    ledger
        Base URL of the member's ledger Service.
    """

    member: str
    gateway: str
    ledger: str


@dataclass(frozen=True)
class Load:
    """How much is asked.

    Attributes
    ----------
    requests_per_second
        Over all members together; they take turns.
    several_rows_share
        Share of the requests with 2 to `rows_max` rows.
    users
        So many users ask, each always in one member and named in the header `x-user-id` and the
        cookie `session`; 0: nobody is named.
    """

    requests_per_second: float = 80.0
    several_rows_share: float = 0.2
    rows_max: int = 6
    users: int = 0
    seed: int = 1
    labels: LabelSettings = field(default_factory=LabelSettings)

    @property
    def rows_per_request(self) -> float:
        """Rows of a request on average."""
        several = (2 + self.rows_max) / 2
        return 1 + self.several_rows_share * (several - 1)


@dataclass(frozen=True)
class Data:
    """What is asked: rows of shape (n, d) and their true classes."""

    rows: npt.NDArray[np.float64]
    truths: Sequence[str]


class BadAnswerError(Exception):
    """An answer with status 200 that is not one of the Open Inference Protocol."""


class Stream:
    """The client. `run` sends until `stop`; everything else may be called at any time.

    Parameters
    ----------
    model
        Name of the ModelDeployment: the model's name in the path.
    log
        Where everything is noted; a new one unless given.
    positive_column
        Column of the positive class in the answer's probabilities.
    """

    def __init__(
        self,
        model: str,
        targets: Sequence[Target],
        data: Data,
        load: Load,
        *,
        log: Log | None = None,
        positive_column: int = 1,
    ) -> None:
        self.log = log or Log()
        self._path = f"/v2/models/{model}/infer"
        self._targets = tuple(targets)
        self._truths = [str(truth) for truth in data.truths]
        self._texts = [",".join(repr(float(value)) for value in row) for row in data.rows]
        self._features = int(data.rows.shape[1])
        self._load = load
        self._column = positive_column
        self._random = random.Random(load.seed)
        ledgers = {target.member: target.ledger for target in targets}
        self.labels = LabelSender(model, ledgers, load.labels, self.log)
        self._going = asyncio.Event()
        self._going.set()
        self._stopped = asyncio.Event()

    def pause(self) -> None:
        """Send no more predictions until `resume`. Labels still go out."""
        self._going.clear()

    def resume(self) -> None:
        """Go on sending."""
        self._going.set()

    def stop(self) -> None:
        """Let `run` return once every request is answered."""
        self._stopped.set()
        self._going.set()

    async def run(self) -> None:
        """Send predictions and their labels until `stop`; labels not yet due are then dropped."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
            asyncio.TaskGroup() as group,
        ):
            sending = group.create_task(self.labels.run(session))
            await self._send_steadily(session)
            sending.cancel()

    async def drain(self, timeout_seconds: float) -> int:
        """Wait until the label of every row was answered; return how many are missing after all."""
        deadline = time.monotonic() + timeout_seconds
        # A poll is enough: nothing but the log knows when the last label was answered.
        while (missing := self.log.labels_missing()) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return missing

    async def _send_steadily(self, session: aiohttp.ClientSession) -> None:
        interval = 1.0 / self._load.requests_per_second
        due = time.monotonic()
        turn = 0
        async with asyncio.TaskGroup() as requests:
            while not self._stopped.is_set():
                if not self._going.is_set():
                    await self._going.wait()
                    due = time.monotonic()
                    continue
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                # What the clock could not do in time is made up for, up to a second of it.
                due = max(due + interval, time.monotonic() - 1.0)
                user = self._random.randrange(self._load.users) if self._load.users else None
                place = turn if user is None else user
                target = self._targets[place % len(self._targets)]
                turn += 1
                self.log.sent()
                requests.create_task(self._ask(session, target, self._draw(), user))

    def _draw(self) -> list[int]:
        count = 1
        if self._random.random() < self._load.several_rows_share:
            count = self._random.randint(2, self._load.rows_max)
        return [self._random.randrange(len(self._texts)) for _ in range(count)]

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        target: Target,
        rows: Sequence[int],
        user: int | None = None,
    ) -> None:
        sent = time.time()
        headers = {"content-type": "application/json"}
        if user is not None:
            headers |= {"x-user-id": f"user-{user}", "cookie": f"theme=dark; session=user-{user}"}
        try:
            async with session.post(
                target.gateway + self._path,
                data=self._body(rows),
                headers=headers,
            ) as response:
                if response.status != 200:
                    detail = (await response.text())[:200]
                    self._fail(sent, target, str(response.status), detail)
                    return
                answer = await response.json()
            predictions = self._read(answer, target, rows, sent, user)
        except BadAnswerError as error:
            self._fail(sent, target, "BadAnswer", str(error))
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            self._fail(sent, target, type(error).__name__, str(error)[:200])
        else:
            self.log.answered(predictions)
            self.labels.add(predictions)

    def _fail(self, sent: float, target: Target, kind: str, detail: str) -> None:
        self.log.failed(Failure(sent, target.member, kind, detail))

    def _body(self, rows: Sequence[int]) -> bytes:
        values = "],[".join(self._texts[row] for row in rows)
        shape = f"[{len(rows)},{self._features}]"
        return (
            f'{{"inputs":[{{"name":"rows","datatype":"FP64","shape":{shape},"data":[[{values}]]}}]}}'
        ).encode()

    def _read(
        self, answer: Any, target: Target, rows: Sequence[int], sent: float, user: int | None = None
    ) -> list[Prediction]:
        try:
            outputs = {output["name"]: output["data"] for output in answer["outputs"]}
            version = str(answer["model_version"])
            predicted, receipts = outputs["predict"], outputs["receipt"]
            scores = np.asarray(outputs["predict_proba"], dtype=np.float64).reshape(len(rows), -1)
            positive = scores[:, self._column]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BadAnswerError(f"{type(error).__name__}: {error}") from error
        if not len(predicted) == len(receipts) == len(rows):
            raise BadAnswerError(f"{len(rows)} rows asked, {len(receipts)} receipts came")
        answered = time.time()
        result = []
        for index, row in enumerate(rows):
            revision, rollout, step = where_served(receipts[index])
            result.append(
                Prediction(
                    row=row,
                    member=target.member,
                    sent=sent,
                    answered=answered,
                    version=version,
                    revision=revision,
                    rollout=rollout,
                    step=step,
                    predicted=str(predicted[index]),
                    score=float(positive[index]),
                    truth=self._truths[row],
                    receipt=receipts[index],
                    user=user,
                )
            )
        return result


class BackgroundStream:
    """A `Stream` in a thread of its own, from `with` to its end, for callers that are not async.

    Parameters are those of `Stream`.
    """

    def __init__(
        self,
        model: str,
        targets: Sequence[Target],
        data: Data,
        load: Load,
        *,
        positive_column: int = 1,
    ) -> None:
        self.log = Log()
        self._loop = asyncio.new_event_loop()
        self._stream = Stream(
            model, targets, data, load, log=self.log, positive_column=positive_column
        )
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="stream")

    def __enter__(self) -> Self:
        """Start sending."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop as `stop` does."""
        self.stop()

    def pause(self) -> None:
        """Send no more predictions until `resume`."""
        self._call(self._stream.pause)

    def resume(self) -> None:
        """Go on sending."""
        self._call(self._stream.resume)

    def drain(self, timeout_seconds: float) -> int:
        """Wait for the labels of all answered rows; return how many are missing after all."""
        future = asyncio.run_coroutine_threadsafe(self._stream.drain(timeout_seconds), self._loop)
        return future.result()

    def stop(self) -> None:
        """Stop, wait for requests under way, and raise what went wrong in the client itself."""
        self._call(self._stream.stop)
        self._thread.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _call(self, function: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: it has stopped already
            self._loop.call_soon_threadsafe(function)

    def _main(self) -> None:
        try:
            self._loop.run_until_complete(self._stream.run())
        except BaseException as error:  # noqa: BLE001 - raised again where the thread is joined
            self._error = error
        finally:
            self._loop.close()
