"""The records of rollouts in one member: read once, all of a namespace together, then as we wrote them."""

import asyncio

from assay.render.naming import COMPONENT_LABEL, ROUTE, record_name
from assay.render.record import read_record
from assay.rollout.observation import RecordView

from . import resources
from .api import Api
from .errors import ApiError

_SELECTOR = f"{resources.MANAGED},{COMPONENT_LABEL}={ROUTE}"


class Records:
    """What the member's records say, by ModelDeployment."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[tuple[str, str], RecordView | None] = {}
        self._listings: dict[str, asyncio.Task[bool]] = {}

    async def read(self, namespace: str, name: str) -> RecordView | None:
        """Return the record of a ModelDeployment, None if there is none. Raises as `Api` does."""
        key = (namespace, name)
        if key not in self._known and not await self._listed(namespace):
            found = await self._api.find(resources.path("ConfigMap", namespace, record_name(name)))
            self.wrote(*key, read_record(found) if found else None)
        return self._known.setdefault(key, None)

    def wrote(self, namespace: str, name: str, record: RecordView | None) -> None:
        """Note the record that was written."""
        self._known[namespace, name] = record

    def forget(self, namespace: str, name: str) -> None:
        """Forget a ModelDeployment that is gone from here."""
        self._known.pop((namespace, name), None)

    def close(self) -> None:
        """Stop reading."""
        for listing in self._listings.values():
            listing.cancel()

    async def _listed(self, namespace: str) -> bool:
        """Return whether all records of a namespace could be read together."""
        listing = self._listings.get(namespace)
        if listing is None or (listing.done() and (listing.cancelled() or listing.exception())):
            listing = asyncio.create_task(self._list(namespace))
            self._listings[namespace] = listing
        # One that is slow goes on when who asked for it gives up.
        return await asyncio.shield(listing)

    async def _list(self, namespace: str) -> bool:
        path = resources.path("ConfigMap", namespace)
        try:
            async for document in self._api.each(path, labelSelector=_SELECTOR):
                name = document["metadata"]["labels"][resources.DEPLOYMENT]
                # One that we have written meanwhile is newer.
                self._known.setdefault((namespace, name), read_record(document))
        except ApiError as error:
            if error.status == 403:  # an older chart of the member gives the right to get them only
                return False
            raise
        return True
