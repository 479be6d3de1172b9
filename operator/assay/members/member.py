"""One member: keeps its connection, says what is there, makes it what it should be.

Each member has tasks of its own and time-outs on everything, so one that hangs delays nobody else:
a reconcile never waits for a connection, it reads whether there is one.
"""

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from assay.api.conditions import Reason
from assay.api.model_cluster import ModelClusterSpec
from assay.evidence import errors as evidence_errors
from assay.evidence.errors import EvidenceUnavailable
from assay.evidence.member import MemberEvidence
from assay.evidence.prometheus import Trial
from assay.render.member import MemberPlan
from assay.render.record import read_record
from assay.rollout.observation import MemberView

from .api import Fence
from .errors import ApiError, MemberError, refused
from .kubeconfig import Credentials
from .session import Session

HEARTBEAT_SECONDS = 8.0
"""Between two renewals of the Lease, which is also how a member shows that it is there."""
RETRY_SECONDS = 2.0
"""Between two attempts while it is not."""
ANSWER_SECONDS = 4.0

VIEW_SECONDS = 2.0
"""For what is asked on demand when a member is looked at; most is known from its watches."""

APPLY_SECONDS = 20.0
"""For everything that one plan writes; what takes longer is tried again from the start."""

REMOVE_SECONDS = 10.0
"""For removing everything of one ModelDeployment; tried again after that."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """Whether a member can be used.

    Attributes
    ----------
    reachable
        It answers, accepts us, and its Lease is ours.
    reason, message
        Of the condition ``Reachable``.
    version
        Its Kubernetes version, as last heard.
    """

    reachable: bool
    reason: Reason
    message: str
    version: str | None = None


@dataclass
class _Work:
    """The newest plan for one ModelDeployment that waits to be applied or is being applied."""

    plan: MemberPlan
    mark: str
    urgent: bool
    done: asyncio.Future[None]


class Member:
    """One member cluster.

    Parameters
    ----------
    credentials
        Reads them anew at each connection.
    origin
        Identity of this hub.
    wake
        Called with (namespace, ModelDeployment name) when one of its objects changed here.
    changed
        Called with the member's name when its state changed.
    fences
        Leases besides the member's own without which nothing is written there.
    """

    def __init__(
        self,
        name: str,
        spec: ModelClusterSpec,
        credentials: Callable[[], Awaitable[Credentials]],
        origin: str,
        wake: Callable[[str, str], None],
        changed: Callable[[str], None],
        fences: tuple[Fence, ...] = (),
    ) -> None:
        self.name = name
        self.spec = spec
        self.state = State(False, Reason.MEMBERS_UNREACHABLE, "not connected yet")
        self.settled = asyncio.Event()
        self._credentials = credentials
        self._origin = origin
        self._wake = wake
        self._changed = changed
        self._fences = fences
        self._again = asyncio.Event()
        self._session: Session | None = None
        self._work: dict[tuple[str, str], _Work] = {}
        self._working: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._half_removed: set[tuple[str, str]] = set()

    def reconnect(self) -> None:
        """Connect again, with credentials read anew."""
        self._again.set()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        try:
            while True:
                self._again.clear()
                try:
                    await self._connected()
                    # Until its watches have seen everything again nothing is known of it.
                    self._down(MemberError(Reason.MEMBERS_UNREACHABLE, "connecting again"))
                except (MemberError, ApiError) as error:
                    self._down(error)
                except Exception as error:  # a member must not end the operator
                    log.exception("member %s: unexpected error", self.name)
                    self._down(MemberError(Reason.MEMBERS_UNREACHABLE, repr(error)))
                await self._close()
                await self._pause(RETRY_SECONDS)
        finally:
            self._stop_work(MemberError(Reason.MEMBERS_UNREACHABLE, "disconnected"))
            await self._close()

    async def view(self, namespace: str, name: str) -> MemberView:
        """Return what is in the member for one ModelDeployment; an unreachable one is a value too."""
        session = self._session
        if session is None or not self.state.reachable:
            return self._absent(self.state.reason, self.state.message)
        try:
            async with asyncio.timeout(VIEW_SECONDS):
                return MemberView(
                    name=self.name,
                    reachable=True,
                    revisions=await session.revisions(namespace, name),
                    route=session.route(namespace, name),
                    entry=session.entry(namespace, name),
                    sticky=session.sticky(namespace, name),
                    ledger_ready=session.ledger_ready(namespace, name),
                    record=await session.records.read(namespace, name),
                    applied=self.proof(namespace, name),
                )
        except TimeoutError:
            message = f"no answer within {VIEW_SECONDS:g} s"
            return self._absent(Reason.MEMBERS_UNREACHABLE, message)
        except MemberError as error:
            return self._absent(error.reason, error.message)
        except ApiError as error:
            return self._absent(Reason.APPLY_FAILED, error.message)

    async def evidence(
        self,
        trial: Trial,
        window_seconds: float,
        at: float | None = None,
    ) -> MemberEvidence:
        """Return the counts of a trial (`at` Unix seconds), or raise `EvidenceUnavailable`."""
        session = self._session
        if session is None:
            raise EvidenceUnavailable(evidence_errors.PROMETHEUS_UNREACHABLE, self.state.message)
        return await session.prometheus.read(trial, window_seconds, at)

    async def number(self, key: tuple[str, ...], promql: str) -> float | None:
        """Return what a query gives now, asked once at a time per `key`; may raise the same."""
        session = self._session
        if session is None:
            raise EvidenceUnavailable(evidence_errors.PROMETHEUS_UNREACHABLE, self.state.message)
        return await session.prometheus.number(key, promql)

    async def vector(self, key: tuple[str, ...], promql: str, limit: int) -> Sequence[Any]:
        """Return the series that a query gives now, not more than `limit`; may raise the same."""
        session = self._session
        if session is None:
            raise EvidenceUnavailable(evidence_errors.PROMETHEUS_UNREACHABLE, self.state.message)
        return await session.prometheus.vector(key, promql, limit)

    def proof(self, namespace: str, name: str) -> str | None:
        """Return the proof of the plan that is applied, for `has_applied`; None while none is."""
        return self._session.writer.proof(namespace, name) if self._session else None

    def checks_in(self, namespace: str, name: str) -> float:
        """Return the seconds until what is not watched is to be looked at; none is while it is away."""
        return self._session.writer.checks_in(namespace, name) if self._session else math.inf

    def has_applied(self, namespace: str, name: str, mark: str, proof: str | None = None) -> bool:
        """Return whether the plan with this mark was applied and everything still is so.

        `proof` is what status kept of that before this operator was started.
        """
        session = self._session
        waiting = (namespace, name) in self._work
        return (
            session is not None
            and not waiting
            and session.writer.has_applied(namespace, name, mark, proof)
        )

    def submit(
        self, namespace: str, name: str, plan: MemberPlan, mark: str = "", *, urgent: bool = False
    ) -> asyncio.Future[None]:
        """Apply `plan` as soon as the one that is being applied is through; newer ones win.

        `mark` stands for what it was made of, for `has_applied`. Returns a future that ends with the plan, or is cancelled when a newer plan took its
        place. An urgent plan (a rollback: route first) stops the one that is being applied.
        """
        key = (namespace, name)
        before = self._work.get(key)
        if before and before.plan == plan and before.urgent >= urgent:
            return before.done
        if before:
            before.done.cancel()
        work = _Work(plan, mark, urgent, asyncio.get_running_loop().create_future())
        self._work[key] = work
        running = self._working.get(key)
        if running is None or running.done():
            self._working[key] = asyncio.create_task(self._apply_all(key))
        elif urgent and not (before and before.urgent):
            running.cancel()
        return work.done

    async def remove(self, namespace: str, name: str) -> None:
        """Remove everything of one ModelDeployment. Raises `MemberError` or `ApiError`."""
        key = (namespace, name)
        self._work.pop(key, None)
        if running := self._working.pop(key, None):
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        session = self._fenced()
        self._half_removed.add(key)
        try:
            async with asyncio.timeout(REMOVE_SECONDS):
                await session.writer.remove(namespace, name)
        except TimeoutError:
            message = f"not removed within {REMOVE_SECONDS:g} s"
            raise MemberError(Reason.MEMBERS_UNREACHABLE, message) from None
        self._half_removed.discard(key)
        session.records.forget(namespace, name)

    def holds(self, namespace: str, name: str) -> bool:
        """Return whether anything of the ModelDeployment is here, as far as is known.

        Not everything is watched: what was removed in part may still be there.
        """
        if (namespace, name) in self._half_removed:
            return True
        return self._session is not None and bool(self._session.cache.of(namespace, name))

    @property
    def session(self) -> Session | None:
        """The open connection while there is one."""
        return self._session

    async def _connected(self) -> None:
        """Open a session and keep it until asked to connect again.

        It is kept while the member is away: what was seen and written stays known, and a Lease of
        another hub ends only after it was watched for its whole duration.
        """
        credentials = await self._credentials()
        session = Session(self.name, self.spec, credentials, self._origin, self._wake, self._fences)
        self._session = session
        watching = False
        while True:
            try:
                version = await self._greet(session)
                if not watching:
                    # After a cut the old watches may be half open: ask again for all changes.
                    await session.watch()
                watching = True
                self._up(version)
            except (MemberError, ApiError) as error:
                watching = False
                self._down(error)
            if await self._pause(HEARTBEAT_SECONDS if watching else RETRY_SECONDS):
                return

    async def _greet(self, session: Session) -> str:
        version = await session.version(ANSWER_SECONDS)
        try:
            held = await session.lease.renew(seconds=ANSWER_SECONDS)
        except ApiError as error:
            raise refused(error) from error
        if not held:
            raise MemberError(
                Reason.HELD_BY_OTHER_HUB,
                f"its Lease is held by hub {session.lease.holder}; this hub is {self._origin}",
            )
        return version

    async def _apply_all(self, key: tuple[str, str]) -> None:
        """Apply plans for one ModelDeployment until none is waiting."""
        while work := self._work.get(key):
            try:
                async with asyncio.timeout(APPLY_SECONDS):
                    await self._apply(key, work)
            except asyncio.CancelledError:
                if self._work.get(key) in (None, work):
                    work.done.cancel()
                    raise
                task = asyncio.current_task()
                if task:
                    task.uncancel()
                continue  # a rollback came in between
            except TimeoutError:
                error = f"no answer within {APPLY_SECONDS:g} s"
                _fail(work, MemberError(Reason.MEMBERS_UNREACHABLE, error))
            except Exception as error:  # noqa: BLE001  (whoever waits for the plan gets it)
                _fail(work, error)
            else:
                if not work.done.done():
                    work.done.set_result(None)
            if self._work.get(key) is work:
                del self._work[key]
        self._working.pop(key, None)

    async def _apply(self, key: tuple[str, str], work: _Work) -> None:
        session = self._fenced()
        if work.urgent:
            await session.writer.back(work.plan)
        else:
            await session.writer.forward(work.plan, work.mark)
        session.records.wrote(*key, read_record(work.plan.record))

    def _fenced(self) -> Session:
        """Return the session if we may write."""
        session = self._session
        if session is None or not self.state.reachable:
            raise MemberError(self.state.reason, self.state.message)
        return session  # its Lease is checked before each single write (`Api.fences`)

    def _absent(self, reason: Reason, message: str) -> MemberView:
        return MemberView(name=self.name, reachable=False, reason=reason.value, error=message)

    async def _pause(self, seconds: float) -> bool:
        """Wait, with jitter; return whether to connect again at once."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._again.wait(), seconds * (0.8 + 0.4 * random.random()))  # noqa: S311
        return self._again.is_set()

    async def _close(self) -> None:
        session, self._session = self._session, None
        if session:
            await session.close()

    def _up(self, version: str) -> None:
        self._become(State(True, Reason.CONNECTED, f"Kubernetes {version}", version))

    def _down(self, error: MemberError | ApiError) -> None:
        if isinstance(error, ApiError):
            error = refused(error)
        self._become(
            replace(self.state, reachable=False, reason=error.reason, message=error.message)
        )
        if self._session is None or not self._session.lease.held:
            self._stop_work(MemberError(error.reason, error.message))

    def _stop_work(self, error: MemberError) -> None:
        """End what is being applied; whoever waits for it is told why."""
        for work in self._work.values():
            _fail(work, error)
        self._work.clear()
        for task in self._working.values():
            task.cancel()

    def _become(self, state: State) -> None:
        before, self.state = self.state, state
        self.settled.set()
        if before != state:
            log.info("member %s: %s: %s", self.name, state.reason.value, state.message)
            self._changed(self.name)


def _fail(work: _Work, error: Exception) -> None:
    if not work.done.done():
        work.done.set_exception(error)
        work.done.exception()  # nobody may be waiting any more; the next reconcile sees the state
