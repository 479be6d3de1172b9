"""Credentials that a plugin gives for a while: renewed before they end, while requests go on."""

import asyncio
import contextlib
import datetime
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from assay.api.conditions import Reason

from .errors import MemberError

RENEW_AT = 0.8
"""Share of a credential's life after which it is renewed, while it is still good."""

REFUSED_SECONDS = 30.0
"""Between two renewals of what the server refuses: a plugin that gives nonsense is not run all day."""

FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Credential:
    """What a program gave. Everything secret is left out of its repr.

    Attributes
    ----------
    token, certificate, key
        A bearer token, or a client certificate with its key in PEM, or both.
    expires
        Unix seconds; None: until it is refused.
    """

    token: str | None = field(default=None, repr=False)
    certificate: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    expires: float | None = None


class Login:
    """The credential of one member, always the newest.

    Parameters
    ----------
    name
        Of the member, for messages.
    give
        Runs the plugin; raises `MemberError`.
    certificate_changed
        Called when the new one has another client certificate: connections must be made anew.
    clock
        Unix seconds, the clock of an expiry.

    Attributes
    ----------
    credential
        The newest; None before the first.
    """

    def __init__(
        self,
        name: str,
        give: Callable[[], Awaitable[Credential]],
        certificate_changed: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.credential: Credential | None = None
        self._name = name
        self._give = give
        self._certificate_changed = certificate_changed
        self._clock = clock
        self._given = 0.0
        self._asked_again: float | None = None
        self._error: MemberError | None = None
        self._retry_at = 0.0
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._task: asyncio.Task[None] | None = None

    async def ready(self, seconds: float) -> Credential:
        """Return a credential that is good now; one that ends soon is renewed meanwhile.

        Raises
        ------
        MemberError
            ``CredentialPluginFailed``: there is none, at the latest after `seconds`.
        """
        if (usable := self._usable()) is None:
            await self._renewal(seconds)
            if (usable := self._usable()) is None:
                raise self._error or MemberError(
                    Reason.CREDENTIAL_PLUGIN_FAILED, "the plugin gave a credential that is over"
                )
        elif self._due(usable):
            self._start()
        return usable

    async def refused(self, credential: Credential | None, seconds: float) -> bool:
        """Take note that the server refuses `credential`; return whether there is another one now."""
        if self.credential is credential:
            now = self._clock()
            if self._asked_again is not None and now - self._asked_again < REFUSED_SECONDS:
                return False
            self._asked_again = now
            with contextlib.suppress(MemberError):
                await self._renewal(seconds)
        return self.credential != credential

    def close(self) -> None:
        """End a run of the plugin that is under way."""
        if self._task:
            self._task.cancel()

    def _usable(self) -> Credential | None:
        credential = self.credential
        if credential and (credential.expires is None or self._clock() < credential.expires):
            return credential
        return None

    def _due(self, credential: Credential) -> bool:
        if credential.expires is None:
            return False
        return self._clock() >= self._given + RENEW_AT * (credential.expires - self._given)

    async def _renewal(self, seconds: float) -> None:
        """Wait for one run. Whoever stops to wait does not stop the run: others wait for it too."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._start())
        except TimeoutError:
            raise MemberError(
                Reason.CREDENTIAL_PLUGIN_FAILED,
                f"the credential plugin has not answered within {seconds:g} s",
            ) from None

    def _start(self) -> asyncio.Task[None]:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._renew(), name=f"credentials of {self._name}")
        return self._task

    async def _renew(self) -> None:
        if self._error and self._clock() < self._retry_at:
            return
        try:
            found = await self._give()
        except Exception as error:
            if not isinstance(error, MemberError):  # or every request would start it again
                log.exception("member %s: unexpected error", self._name)
                error = MemberError(Reason.CREDENTIAL_PLUGIN_FAILED, type(error).__name__)
            self._error = error
            self._retry_at = self._clock() + self._retry_seconds
            self._retry_seconds = min(2 * self._retry_seconds, LONGEST_RETRY_SECONDS)
            log.warning("member %s: %s", self._name, error.message)
            return
        before, self.credential = self.credential, found
        self._given = self._clock()
        self._error, self._retry_seconds = None, FIRST_RETRY_SECONDS
        log.info("member %s: new credentials, good until %s", self._name, _until(found))
        if before and (before.certificate, before.key) != (found.certificate, found.key):
            self._certificate_changed()


def _until(credential: Credential) -> str:
    if credential.expires is None:
        return "they are refused"
    moment = datetime.datetime.fromtimestamp(credential.expires, datetime.UTC)
    return moment.isoformat(timespec="seconds")
