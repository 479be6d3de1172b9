"""What the kubelet and Prometheus ask the operator: /healthz, /readyz, /metrics."""

import asyncio
import contextlib
import time

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from . import metrics

BEAT_SECONDS = 0.5
STUCK_SECONDS = 20.0
"""The operator is stuck when its event loop did not turn for so long."""


class Health:
    """Serves the probes.

    Attributes
    ----------
    ready
        Set once the operator leads, or stands by for the leader.
    dead
        Names of tasks that must never end and did.
    """

    def __init__(self, port: int) -> None:
        self.ready = False
        self.dead: list[str] = []
        self._port = port
        self._beat = time.monotonic()
        self._lag = 0.0
        self._beating: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, None, self._port).start()
        self._beating = asyncio.create_task(self._keep_beating(), name="health")

    async def stop(self) -> None:
        """Stop listening."""
        if self._beating:
            self._beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beating
        if self._runner:
            await self._runner.cleanup()

    def watch(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """Report the operator as dead when this task ends although it never should."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                self.dead.append(task.get_name())

        task.add_done_callback(ended)
        return task

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            now = time.monotonic()
            self._lag = max(now - self._beat - BEAT_SECONDS, 0.9 * self._lag)
            self._beat = now

    async def _healthz(self, _: web.Request) -> web.Response:
        silent = time.monotonic() - self._beat
        healthy = not self.dead and max(silent, self._lag) < STUCK_SECONDS
        return web.json_response(
            {"loopLagSeconds": round(max(silent - BEAT_SECONDS, self._lag), 3), "dead": self.dead},
            status=200 if healthy else 500,
        )

    async def _readyz(self, _: web.Request) -> web.Response:
        return web.json_response({"ready": self.ready}, status=200 if self.ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )
