"""A PostgreSQL server of one's own: installed if need be, in a temporary folder, gone afterwards."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = "postgresql"
# initdb refuses to work for root; Debian's package makes this user.
ACCOUNT = "postgres"


def programs() -> Path:
    """Return the folder of initdb and pg_ctl; install Debian's package if there is none."""
    found = _programs()
    if found is None:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "update"],
            ["apt-get", "install", "--yes", "--no-install-recommends", PACKAGE],
        ):
            done = subprocess.run(command, check=False, env=quiet, capture_output=True, text=True)
            assert done.returncode == 0, f"install the package {PACKAGE}: {done.stderr}"
        found = _programs()
    assert found is not None, f"the package {PACKAGE} brought no initdb"
    return found


def _programs() -> Path | None:
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)
    )
    return next((path for path in reversed(folders) if (path / "initdb").exists()), None)


class Cluster:
    """A server that only its own Unix socket reaches.

    Parameters
    ----------
    folder
        Where it keeps its data and its socket.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bin = programs()
        self._user = ACCOUNT if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._run(
            *("initdb", "--pgdata", folder / "data", "--username", "assay", "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C.UTF-8"),
        )

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = f"-k {self.folder} -c listen_addresses= -c max_connections=50"
        self._control("start", "-l", self.folder / "log", "-o", settings)

    def stop(self, mode: str = "immediate") -> None:
        """Stop; `immediate` is a crash."""
        self._control("stop", "-m", mode)

    def create(self, database: str) -> str:
        """Make an empty database and return its URL."""
        self._run("createdb", "--host", self.folder, "--username", "assay", database)
        return f"postgresql://assay@/{database}?host={self.folder}"

    def ask(self, database: str, statement: str) -> str:
        """Return what psql prints for a statement."""
        arguments = ("--host", self.folder, "--username", "assay", "-At", database, "-c", statement)
        return self._run("psql", *arguments).strip()

    def _control(self, *arguments: object) -> None:
        self._run("pg_ctl", "--pgdata", self.folder / "data", "--wait", *arguments)

    def _run(self, program: str, *arguments: object) -> str:
        as_user = {"user": self._user, "group": self._user, "extra_groups": []}
        with tempfile.TemporaryFile("w+") as output:  # a pipe would be held by the server
            done = subprocess.run(
                [self._bin / program, *map(str, arguments)],
                check=False,
                cwd="/",
                stdout=output,
                stderr=output,
                **(as_user if os.geteuid() == 0 else {}),
            )
            output.seek(0)
            text = output.read()
        assert done.returncode == 0, f"{program}: {text}"
        return text


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a server for a `with` block."""
    programs()  # makes the account, too
    # Short: the path of a Unix socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="assay-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, ACCOUNT, ACCOUNT)
        found = Cluster(folder)
        found.start()
        try:
            yield found
        finally:
            found.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
