"""How fast one API server is asked: a token bucket in which what is urgent never waits."""

import asyncio
import time
from collections.abc import Callable


class Limiter:
    """Requests per second to one cluster.

    Parameters
    ----------
    rate
        Requests per second in the long run.
    burst
        Requests that may follow each other at once after a rest.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left = float(burst)
        self._at = clock()

    def take(self) -> float:
        """Take the next place; return how many seconds it is away."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate) - 1
        self._at = now
        return max(-self._left / self._rate, 0.0)

    async def wait(self, *, urgent: bool) -> None:
        """Wait for one's place; an urgent request takes one and does not wait for it."""
        delay = self.take()
        if urgent or not delay:
            return
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:
            self._left += 1  # whoever comes next may have it
            raise
