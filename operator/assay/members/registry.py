"""All members: one running `Member` for each ModelCluster."""

import asyncio
import contextlib
import functools
import os
from collections.abc import Awaitable, Callable
from typing import Any

from assay.api.conditions import Reason
from assay.api.model_cluster import ClusterProfileRef, ModelClusterSpec
from assay.placement import Candidate

from . import kubeconfig, plugin, profile
from .api import Fence
from .errors import MemberError
from .kubeconfig import Credentials
from .login import Login
from .member import Member
from .profile import Access
from .providers import Provider

FIRST_SECONDS = 6.0
"""How long a start waits for the first answers of the members, so as not to call them all lost."""


class Registry:
    """The members by name.

    Parameters
    ----------
    origin
        Identity of this hub.
    secret
        Returns the data of a Secret in the operator's namespace, decoded; None if there is none.
    wake
        Called with (namespace, ModelDeployment name) when one of its objects changed somewhere.
    changed
        Called with a member's name when its state changed.
    fences
        Leases besides a member's own without which nothing is written there.
    profile
        Returns a ClusterProfile by namespace and name, or raises `MemberError`; None: none is used.
    providers
        Programs that may be asked for credentials, those preferred first.
    """

    def __init__(
        self,
        origin: str,
        secret: Callable[[str], Awaitable[dict[str, bytes] | None]],
        wake: Callable[[str, str], None],
        changed: Callable[[str], None],
        fences: tuple[Fence, ...] = (),
        profile: Callable[[str, str], Awaitable[dict[str, Any]]] | None = None,
        providers: tuple[Provider, ...] = (),
    ) -> None:
        self._origin = origin
        self._secret = secret
        self._wake = wake
        self._changed = changed
        self._fences = fences
        self._profile = profile
        self._providers = providers
        self._logins: dict[str, tuple[Access, Login]] = {}
        self._members: dict[str, Member] = {}
        self._candidates: dict[str, Candidate] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def update(self, candidate: Candidate) -> None:
        """Take a ModelCluster that was added or changed."""
        name, before = candidate.name, self._candidates.get(candidate.name)
        if before == candidate:
            return
        self._candidates[name] = candidate
        member = self._members.get(name)
        if before is not None and member is not None and _same_way(before, candidate):
            member.spec = candidate.spec  # where it lies, what it costs: no reason to connect again
        else:
            self._stop(name)
            member = Member(
                name,
                candidate.spec,
                functools.partial(self._credentials, name, candidate.spec),
                self._origin,
                self._wake,
                self._changed,
                self._fences,
            )
            self._members[name] = member
            self._tasks[name] = asyncio.create_task(member.run(), name=f"member {name}")
        self._changed(name)

    def remove(self, name: str) -> None:
        """Forget a ModelCluster that was deleted. What runs there stays: absence never deletes."""
        if self._candidates.pop(name, None):
            self._stop(name)
            self._changed(name)

    def secret_changed(self, secret_name: str) -> None:
        """Connect again to the members whose kubeconfig is in this Secret."""
        for member in self._members.values():
            source = member.spec.cluster_source.kube_config
            if source and source.secret_name == secret_name:
                member.reconnect()

    def profile_changed(self, namespace: str, name: str) -> None:
        """Connect again to the members that are reached by this ClusterProfile."""
        ref = ClusterProfileRef(namespace=namespace, name=name)
        for member in self._members.values():
            if member.spec.cluster_source.cluster_profile_ref == ref:
                member.reconnect()

    def get(self, name: str) -> Member | None:
        """Return a member."""
        return self._members.get(name)

    def all(self) -> tuple[Member, ...]:
        """Return every member, by name."""
        return tuple(self._members[name] for name in sorted(self._members))

    def candidates(self) -> tuple[Candidate, ...]:
        """Return every ModelCluster as placement wants it."""
        return tuple(self._candidates.values())

    async def settle(self) -> None:
        """Wait until every member has answered or failed once, but not for long."""
        waits = [member.settled.wait() for member in self._members.values()]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*waits), FIRST_SECONDS)

    async def close(self) -> None:
        """Disconnect from every member."""
        tasks = list(self._tasks.values())
        for name in list(self._members):
            self._stop(name)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self, name: str) -> None:
        self._members.pop(name, None)
        self._log_out(name)
        if task := self._tasks.pop(name, None):
            task.cancel()

    async def _credentials(self, name: str, spec: ModelClusterSpec) -> Credentials:
        if ref := spec.cluster_source.cluster_profile_ref:
            return await self._profile_credentials(name, ref)
        source = spec.cluster_source.kube_config
        if source is None:
            return kubeconfig.local(dict(os.environ))
        data = await self._secret(source.secret_name)
        if data is None:
            raise MemberError(
                Reason.SECRET_MISSING,
                f"there is no Secret {source.secret_name} in the operator's own namespace",
            )
        if source.key not in data:
            raise MemberError(
                Reason.SECRET_MISSING, f"Secret {source.secret_name} has no key {source.key}"
            )
        try:
            text = data[source.key].decode()
        except UnicodeDecodeError:
            raise MemberError(
                Reason.CREDENTIALS_INVALID,
                f"key {source.key} of Secret {source.secret_name} is no text",
            ) from None
        return kubeconfig.parse(text)

    async def _profile_credentials(self, name: str, ref: ClusterProfileRef) -> Credentials:
        if self._profile is None or not self._providers:
            raise MemberError(
                Reason.ACCESS_PROVIDER_NOT_ALLOWED,
                "clusterProfileRef: the operator may use no access provider "
                "(chart value operator.accessProviders)",
            )
        access = profile.access(await self._profile(ref.namespace, ref.name), self._providers)
        login = self._login(name, access)
        credential = await login.ready(plugin.RUN_SECONDS)
        return Credentials(
            server=access.server,
            ca=access.ca,
            certificate=credential.certificate,
            key=credential.key,
            tls_server_name=access.tls_server_name,
            login=login,
        )

    def _login(self, name: str, access: Access) -> Login:
        """Return the member's login; a connection made anew goes on with the credentials it has."""
        before = self._logins.get(name)
        if before and before[0] == access:
            return before[1]
        self._log_out(name)
        member = self._members[name]
        login = Login(name, functools.partial(plugin.run, access), member.reconnect)
        self._logins[name] = access, login
        return login

    def _log_out(self, name: str) -> None:
        if login := self._logins.pop(name, None):
            login[1].close()


def _same_way(one: Candidate, other: Candidate) -> bool:
    """Return whether member and Prometheus are reached as before."""
    return all(
        getattr(one.spec, field) == getattr(other.spec, field)
        for field in ("cluster_source", "prometheus", "limits")
    )
