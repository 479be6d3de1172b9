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
        self._lease = Lease(api, namespace, LEASE_NAME, identity, seconds=LEASE_SECONDS)
        self._keeper: asyncio.Task[None] | None = None
        self.leading = False

    async def acquire(self) -> None:
        """Return once we are the leader; from then on it is kept in the background."""
        said = None
        while not await self._renew():
            if self._lease.holder != said:
                said = self._lease.holder
                log.info("standing by: %s leads", said or "nobody known")
            await asyncio.sleep(RENEW_SECONDS)
        self.leading = True
        log.info("leading")
        self._keeper = asyncio.create_task(self._keep(), name="leader")

    async def release(self) -> None:
        """Let another one lead at once. Call when everything else has stopped."""
        if self._keeper:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        with contextlib.suppress(ApiError, MemberError):
            await self._lease.release(seconds=ANSWER_SECONDS)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self._renew()
            if not self._lease.held:
                # At once: every further write might meet those of the next leader.
                log.critical("the Lease is lost: ending")
                logging.shutdown()
                os._exit(LOST)

    async def _renew(self) -> bool:
        try:
            return await self._lease.renew(seconds=ANSWER_SECONDS)
        except (ApiError, MemberError) as error:
            log.warning("the Lease could not be renewed: %s", error)
            return False
