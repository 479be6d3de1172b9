"""Sees every version of objects in a cluster, so that "at no moment" is more than a look at the end."""

import json
import subprocess
import threading
from types import TracebackType
from typing import Any, Self

from fleet import Cluster
from tests.e2e.trial import wait_until

Document = dict[str, Any]


class Witness:
    """Follows one kind of object from `__enter__` on; what it saw stays readable afterwards.

    Parameters
    ----------
    kind
        As kubectl spells it.
    selector
        Label selector.
    """

    def __init__(self, cluster: Cluster, namespace: str, kind: str, selector: str) -> None:
        self._words = (
            *(str(cluster.kubectl_program), f"--kubeconfig={cluster.kubeconfig}"),
            *("get", kind, "-n", namespace, "-l", selector),
            *("--watch", "--output-watch-events", "-o", "json"),
        )
        self._seen: list[Document] = []

    @property
    def seen(self) -> list[Document]:
        """Every version of every object, in the order in which the API server told of them."""
        return list(self._seen)

    def labels(self, key: str) -> set[str]:
        """Every value that a label of these objects ever had."""
        return {item["metadata"]["labels"].get(key, "") for item in self.seen}

    @property
    def uids(self) -> set[str]:
        """The uid of every object that was there."""
        return {item["metadata"]["uid"] for item in self.seen}

    def wait_for(self, uid: str) -> None:
        """Wait until an object was seen: then the watch runs."""
        wait_until(f"the watch sees {uid}", lambda: uid in self.uids)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._words, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ended = self._process.poll()
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        assert ended is None or error, f"the watch ended before the test, with {ended}"

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._seen.append(json.loads(line)["object"])
