"""A Lease: who may write, as one object in an API server says it (coordination.k8s.io).

As in client-go, the clocks of two holders are never compared: a Lease is free when it has not
changed for its whole duration as measured here. Ours ends, for us, a little before others see it
end, counted from before the request that renewed it.
"""

import datetime
import time
from collections.abc import Callable
from typing import Any

from assay.api.conditions import Reason

from . import resources
from .api import Api
from .errors import ApiError, MemberError

SAFETY = 0.8
"""Share of its duration after which we do not rely on a Lease that could not be renewed."""


class Lease:
    """One Lease that we want to hold.

    Parameters
    ----------
    identity
        Who we are; another holder with the same identity is us, before a restart.
    seconds
        How long it lasts after a renewal.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        *,
        seconds: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._renewed: float | None = None
        self._other: tuple[object, float] | None = None
        self.holder: str | None = None

    @property
    def held(self) -> bool:
        """Whether we hold it now and for a while yet."""
        return self.left > 0

    @property
    def left(self) -> float:
        """Seconds for which we rely on it yet; 0 when it is not ours."""
        if self._renewed is None:
            return 0.0
        return max(self._renewed + SAFETY * self._seconds - self._clock(), 0.0)

    def fence(self) -> float:
        """Return how many seconds a write may take that begins now: until others see it end.

        Raises `MemberError` when the Lease is not relied on any more.
        """
        if not self.held:
            raise MemberError(
                Reason.MEMBERS_UNREACHABLE, f"Lease {self._name} could not be renewed in time"
            )
        return self.left + (1 - SAFETY) * self._seconds

    async def renew(self, *, seconds: float) -> bool:
        """Take or keep it; return whether it is ours. The request gives up after `seconds`.

        Raises `ApiError` and `MemberError` when the server cannot be asked.
        """
        began = self._clock()
        path = resources.path("Lease", self._namespace, self._name)
        try:
            found = await self._api.request("GET", path, seconds=seconds, urgent=True)
        except ApiError as error:
            if not error.missing:
                raise
            found = {}
        if found and not self._free(found):
            self._renewed = None
            return False
        try:
            await self._write(found, seconds)
        except ApiError as error:
            if not error.conflict:
                raise
            self._renewed = None
            return False
        self._renewed = began
        self.holder = self._identity
        return True

    async def release(self, *, seconds: float) -> None:
        """Let go of it, so that the next one need not wait."""
        if self._renewed is None:
            return
        self._renewed = None
        path = resources.path("Lease", self._namespace, self._name)
        found = await self._api.request("GET", path, seconds=seconds, urgent=True)
        if found["spec"].get("holderIdentity") == self._identity:
            await self._write(found, seconds, holder="")

    def _free(self, found: dict[str, Any]) -> bool:
        spec = found.get("spec") or {}
        self.holder = spec.get("holderIdentity") or None
        if self.holder in (None, self._identity):
            return True
        state = found["metadata"]["resourceVersion"]
        if self._other is None or self._other[0] != state:
            self._other = (state, self._clock())
        duration = float(spec.get("leaseDurationSeconds") or self._seconds)
        return self._clock() - self._other[1] > duration

    async def _write(
        self, found: dict[str, Any], seconds: float, holder: str | None = None
    ) -> None:
        """Create or replace; a resourceVersion makes the server refuse if somebody was faster."""
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = found.get("spec") or {}
        same = before.get("holderIdentity") == self._identity
        spec = {
            "holderIdentity": self._identity if holder is None else holder,
            "leaseDurationSeconds": self._seconds if holder is None else 1,
            "acquireTime": before.get("acquireTime", now) if same else now,
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (0 if same else 1),
        }
        metadata: dict[str, Any] = {"namespace": self._namespace, "name": self._name}
        if found:
            metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
        document = {
            "apiVersion": resources.API_VERSIONS["Lease"],
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }
        name = self._name if found else None
        await self._api.request(
            "PUT" if found else "POST",
            resources.path("Lease", self._namespace, name),
            body=document,
            seconds=seconds,
            urgent=True,
            fenced=False,
        )
