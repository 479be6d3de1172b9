"""A repository behind a real git server, and the artifacts that Flux takes from it.

What source-controller does is done here: fetch the branch from the server, pack it, tell of it in
a GitRepository. The Go module proxy does not have every module that source-controller is made of.
"""

import functools
import hashlib
import http.server
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from typing_extensions import override

from fleet import Cluster

LOCAL = "127.0.0.1"
BRANCH = "main"
_WHO = dict.fromkeys(
    (*("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"), *("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")),
    "platform@example.com",
)


def git(*words: str, folder: Path) -> str:
    """Run git in `folder` and return what it prints."""
    environment = {**os.environ, **_WHO, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(
        ["git", *words], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


class Source:
    """A person's clone, the server, and what fetches from it; a context manager.

    Parameters
    ----------
    hub
        Where the GitRepository `name` is.
    folder
        An empty directory.
    """

    def __init__(self, hub: Cluster, folder: Path, name: str, namespace: str) -> None:
        self._hub, self._name, self._namespace = hub, name, namespace
        self._served, self._clone, self._fetched, self._artifacts = (
            folder / each for each in ("served", "clone", "fetched", "artifacts")
        )
        for each in (self._served, self._artifacts):
            each.mkdir()
        git("init", "-q", "--bare", f"--initial-branch={BRANCH}", "fleet.git", folder=self._served)
        git("clone", "-q", "served/fleet.git", "clone", folder=folder)

    def __enter__(self) -> Self:
        port = _free_port()
        self._daemon = subprocess.Popen(
            ["git", "daemon", f"--listen={LOCAL}", f"--port={port}", "--export-all", "--reuseaddr",
             f"--base-path={self._served}", "--informative-errors", str(self._served)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.url = f"git://{LOCAL}:{port}/fleet.git"
        handler = functools.partial(_Handler, directory=str(self._artifacts))
        self._http = http.server.ThreadingHTTPServer((LOCAL, 0), handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._daemon.terminate()
        self._daemon.wait()
        self._hub.kubectl("delete", "gitrepository", self._name, "-n", self._namespace)

    def commit(self, path: str, text: str, why: str) -> str:
        """Write a file, push it, and have it fetched; return the revision as Flux names it."""
        file = self._clone / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        git("add", "-A", folder=self._clone)
        git("commit", "-q", "-m", why, folder=self._clone)
        return self._push()

    def _push(self) -> str:
        git("push", "-q", "origin", f"HEAD:{BRANCH}", folder=self._clone)
        return self._fetch()

    def _fetch(self) -> str:
        if not self._fetched.exists():
            _with_patience(
                lambda: git("clone", "-q", self.url, str(self._fetched), folder=self._served)
            )
        git("fetch", "-q", "origin", BRANCH, folder=self._fetched)
        commit = git("rev-parse", "FETCH_HEAD", folder=self._fetched)
        archive = self._artifacts / f"{commit}.tar.gz"
        # Of the tree and not of the commit, whose name would be in a header that Flux does not know.
        tree = f"{commit}^{{tree}}"
        git("archive", "--format=tar.gz", f"--output={archive}", tree, folder=self._fetched)
        revision = f"{BRANCH}@sha1:{commit}"
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        artifact = {
            "digest": f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}",
            "lastUpdateTime": now,
            "path": archive.name,
            "revision": revision,
            "url": f"http://{LOCAL}:{self._http.server_port}/{archive.name}",
        }
        document = {
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "GitRepository",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {"url": self.url, "ref": {"branch": BRANCH}, "interval": "1m"},
            "status": {"artifact": artifact, "observedGeneration": 1},
        }
        self._hub.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(document))
        return revision


class _Handler(http.server.SimpleHTTPRequestHandler):
    @override
    def log_message(self, *_: object) -> None:
        pass


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((LOCAL, 0))
        port: int = found.getsockname()[1]
        return port


def _with_patience(attempt: Callable[[], object]) -> None:
    """Try until the daemon listens."""
    deadline = time.monotonic() + 10
    while True:
        try:
            attempt()
        except subprocess.CalledProcessError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
