"""Make the archive and the manifest of the krew plugin: ``python tools/krew.py [--url URL]``.

Both go to dist/. The archive holds a launcher, this distribution as a wheel, and the lock file of
what it needs; the launcher installs them into a folder of its own when it is called first. Nothing is
published by this: URL is where you put the archive.
"""

import argparse
import gzip
import hashlib
import io
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).parent.parent
NAME = "assay"
PROGRAM = "kubectl-assay"
URL = "https://example.com/assay/{archive}"
PLATFORMS = (("linux", "amd64"), ("linux", "arm64"), ("darwin", "amd64"), ("darwin", "arm64"))


def main() -> int:
    """Write dist/; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--url", default=URL, help="where the archive will be; {archive} is its name"
    )
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "dist")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    content = archive()
    path = options.output / f"{PROGRAM}-{version()}.tar.gz"
    path.write_bytes(content)
    url = options.url.replace("{archive}", path.name)
    text = yaml.safe_dump(manifest(url, content), sort_keys=False, width=100)
    (options.output / f"{NAME}.yaml").write_text(text)
    sys.stdout.write(f"{path}\n{options.output / NAME}.yaml\n")
    return 0


def version() -> str:
    """Return the version of this distribution."""
    text: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return text


def manifest(url: str, content: bytes) -> dict[str, Any]:
    """Return the plugin's manifest as krew reads it.

    Parameters
    ----------
    url
        Of the archive.
    content
        The archive.
    """
    digest = hashlib.sha256(content).hexdigest()
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": NAME},
        "spec": {
            "version": f"v{version()}",
            "homepage": "https://assay.dev",
            "shortDescription": "Rollouts of ML models, judged on live F1 and AUC",
            "description": (
                "Shows how the rollout of a ModelDeployment stands, explains verdicts, and lets those who\n"
                "may do so pause, approve, promote, abort, retry and undo.\n"
            ),
            "caveats": (
                "Needs Python 3.11 or newer with the module venv, and at the first call a Python package\n"
                "index: it installs what it needs, pinned by digest, into ~/.cache/kubectl-assay.\n"
            ),
            "platforms": [
                {
                    "selector": {"matchLabels": {"os": system, "arch": machine}},
                    "uri": url,
                    "sha256": digest,
                    "files": [{"from": "*", "to": "."}],
                    "bin": PROGRAM,
                }
                for system, machine in PLATFORMS
            ],
        },
    }


def archive() -> bytes:
    """Return a tar.gz with launcher, wheel, lock file and licence; the same bytes for the same source."""
    files = {
        PROGRAM: (LAUNCHER.replace("VERSION", version()), 0o755),
        "requirements.txt": ((ROOT / "requirements/operator.txt").read_text(), 0o644),
        "LICENSE": ((ROOT / "LICENSE").read_text(), 0o644),
    }
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        (wheel,) = pathlib.Path(folder).iterdir()
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            for name, (text, mode) in files.items():
                _add(tar, name, text.encode(), mode)
            _add(tar, wheel.name, wheel.read_bytes(), 0o644)
    return gzip.compress(made.getvalue(), mtime=0)


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


LAUNCHER = """\
#!/bin/sh
# Runs `assay` from a virtual environment of its own, which the first call makes.
set -eu
self=$0
while [ -L "$self" ]; do
  target=$(readlink "$self")
  case $target in /*) self=$target ;; *) self=$(dirname "$self")/$target ;; esac
done
here=$(cd "$(dirname "$self")" && pwd)
venv=${XDG_CACHE_HOME:-$HOME/.cache}/kubectl-assay/VERSION
if [ ! -e "$venv/.complete" ]; then
  python=${ASSAY_PYTHON:-python3}
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "kubectl assay: needs Python 3.11 or newer; ASSAY_PYTHON names one" >&2
    exit 2
  }
  echo "kubectl assay: the first call installs what it needs into $venv" >&2
  "$python" -m venv --clear "$venv"
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r "$here/requirements.txt" >&2
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps "$here"/assay-*.whl >&2
  touch "$venv/.complete"
fi
exec "$venv/bin/kubectl-assay" "$@"
"""

if __name__ == "__main__":
    raise SystemExit(main())
