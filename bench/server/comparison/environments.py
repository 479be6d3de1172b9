"""A virtual environment for each peer, made when it is first needed and kept."""

import functools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

REQUIREMENTS = Path(__file__).parent.parent / "peers" / "requirements"
ROOT = Path(__file__).parents[3]


class InstallError(Exception):
    """A peer cannot be installed; the message is the end of what the installer said."""


def cache_directory() -> Path:
    """Return where environments are kept: $ASSAY_CACHE/bench or ~/.cache/assay/bench."""
    given = os.environ.get("ASSAY_CACHE")
    return (Path(given).absolute() if given else Path.home() / ".cache" / "assay") / "bench"


def interpreter() -> Path:
    """Return the Python of all servers: Debian's, as in our image, if it is of this version.

    It was compiled with profiles and is a fifth quicker than one that was not, as those of pyenv.
    """
    debian = Path(f"/usr/bin/python3.{sys.version_info.minor}")
    return debian if debian.is_file() else Path(sys.executable)


@functools.cache
def python_version() -> str:
    """Return version and build of that Python."""
    code = "import sys; print(sys.version)"
    shown = subprocess.run([interpreter(), "-c", code], capture_output=True, text=True, check=True)
    return f"{' '.join(shown.stdout.split())} at {interpreter()}"


def pins(peer: str) -> dict[str, str]:
    """Return the pinned version of each distribution of a peer."""
    lines = (REQUIREMENTS / f"{peer}.txt").read_text().splitlines()
    exact = (line.split(" ")[0].partition("==") for line in lines if not line.startswith("#"))
    return {name: version for name, _, version in exact if name}


def environment(peer: str, number: int = 1, of: int = 1) -> Path:
    """Return a peer's virtual environment with its pinned requirements, made if need be.

    Progress is printed. A changed requirements file makes a new one in the place of the old. Bytecode
    comes with the peer's first start, which is not measured. Raises InstallError.
    """
    wanted = (REQUIREMENTS / f"{peer}.txt").read_text() + python_version()
    folder = cache_directory() / peer
    mark = folder / "installed"
    if mark.is_file() and mark.read_text() == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    count = len(pins(peer))
    print(
        f"[{number}/{of}] {peer}: installing {count} distributions, a minute or two ...", flush=True
    )
    begin = time.monotonic()
    uv = Path(sys.executable).parent / "uv"
    _run([uv, "venv", "--quiet", "--python", interpreter(), folder])
    requirements = REQUIREMENTS / f"{peer}.txt"
    install: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--requirement",
        requirements,
    ]
    _run([*install, "--python", folder / "bin" / "python"])
    # Last, so that an environment that was interrupted half-way is made again.
    mark.write_text(wanted)
    print(f"[{number}/{of}] {peer}: installed in {time.monotonic() - begin:.0f} s", flush=True)
    return folder


def own_environment() -> Path:
    """Return an environment with what the image of our server holds and this checkout in it.

    The one for development has far more, and some of it is imported by what the server imports.
    Raises InstallError.
    """
    locked = ROOT / "requirements" / "server.txt"
    wanted = locked.read_text() + str(ROOT) + python_version()
    folder = cache_directory() / "assay"
    mark = folder / "installed"
    if mark.is_file() and mark.read_text() == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    print("assay: installing what its image holds ...", flush=True)
    uv = Path(sys.executable).parent / "uv"
    _run([uv, "venv", "--quiet", "--python", interpreter(), folder])
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--no-deps"]
    for what in (["--requirement", locked], ["--editable", ROOT]):
        _run([*install, *what, "--python", folder / "bin" / "python"])
    mark.write_text(wanted)
    return folder


def _run(command: list[str | Path]) -> None:
    try:
        done = subprocess.run(
            ["nice", "-n", "10", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except OSError as error:
        raise InstallError(str(error)) from error
    if done.returncode != 0:
        raise InstallError(done.stdout.strip()[-800:])
