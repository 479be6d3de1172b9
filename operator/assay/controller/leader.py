"""Leader election: only the holder of one Lease on the hub decides and writes."""

import asyncio
import contextlib
import logging
import os

from assay.members.api import Api
from assay.members.errors import ApiError, MemberError
from assay.members.lease import Lease

LEASE_NAME = "assay-operator"
LEASE_SECONDS = 15
RENEW_SECONDS = 2.0
ANSWER_SECONDS = 3.0
LOST = 3
"""Exit code after the Lease was lost."""

log = logging.getLogger(__name__)


class Leader:
    """Waits for the Lease, keeps it, and ends the process the moment it cannot be relied on."""

    def __init__(self, api: Api, namespace: str, identity: str) -> None:
        self._api = api
        self._lease = Lease(api, namespace, LEASE_NAME, identity, seconds=LEASE_SECONDS)
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self.fence = self._lease.fence

    async def acquire(self) -> None:
        """Return once we are the leader; from then on it is kept in the background."""
        said = None
        while not await self._renew():
            if self._lease.holder != said:
                said = self._lease.holder
                log.info("standing by: %s leads", said or "nobody known")
            await asyncio.sleep(RENEW_SECONDS)
        self._api.fences = (self.fence,)
        log.info("leading")
        self._tasks = (
            asyncio.create_task(self._keep(), name="leader"),
            asyncio.create_task(self._expire(), name="end of the leader"),
        )

    async def release(self) -> None:
        """Let another one lead at once. Call when everything else has stopped."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        with contextlib.suppress(ApiError, MemberError):
            await self._lease.release(seconds=ANSWER_SECONDS)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self._renew()
            if not self._lease.held:
                _end()

    async def _expire(self) -> None:
        """End in time, however long a renewal hangs: the next leader may begin after that."""
        while left := self._lease.left:  # noqa: ASYNC110  (the end moves, nobody tells)
            await asyncio.sleep(left)
        _end()

    async def _renew(self) -> bool:
        try:
            return await self._lease.renew(seconds=ANSWER_SECONDS)
        except (ApiError, MemberError) as error:
            log.warning("the Lease could not be renewed: %s", error)
            return False


def _end() -> None:
    """End the process at once: every further write might meet those of the next leader."""
    log.critical("the Lease is lost: ending")
    logging.shutdown()
    os._exit(LOST)
