"""Sees every version of objects in a cluster, so that "at no moment" is more than a look at the end."""

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from fleet import Cluster
from tests.e2e.trial import wait_until

Document = dict[str, Any]


class Witness:
    """What a watch has told so far; it stays readable when the watch has ended."""

    def __init__(self) -> None:
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

    def read(self, events: Iterable[str]) -> None:
        """Take the events of a watch, a line of JSON each."""
        for line in events:
            self._seen.append(json.loads(line)["object"])


@contextlib.contextmanager
def watched(cluster: Cluster, namespace: str, kind: str, selector: str) -> Iterator[Witness]:
    """Follow one kind of object (as kubectl spells it) with a label selector; the watch must not end."""
    words = (
        *(str(cluster.kubectl_program), f"--kubeconfig={cluster.kubeconfig}"),
        *("get", kind, "-n", namespace, "-l", selector),
        *("--watch", "--output-watch-events", "-o", "json"),
    )
    witness = Witness()
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        reader = threading.Thread(target=witness.read, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            yield witness
        finally:
            ended = process.poll()
            process.terminate()
            reader.join()
    assert ended is None, f"the watch ended before the test, with {ended}"
