"""Where the guide deploys: three local clusters with Assay on them.

    python -m examples.digits.place up      # makes what is not there, and writes place.sh for the shell
    python -m examples.digits.place down    # removes what `up` made

With ASSAY_FLEET=NAME a fleet that is up is used, and left up.
"""

import argparse
import os
import shlex
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from demo.stage import Stage, StageError
from examples.digits.stream import NAME, stop
from fleet import Fleet, local
from fleet.errors import FleetError
from fleet.progress import Screen
from fleet.state import StateError

MADE = "guide"
"""Name of the fleet that is made where none is given."""
MEMORY = "operator.resources.limits.memory=2Gi"
"""The chart's limit is 1Gi; in a trial of ten classes by one-vs-one AUC the operator has taken 1.2 GB."""
SHELL = Path("place.sh")
KUBECONFIG = Path("kubeconfig")


def stage(fleet: Fleet) -> Stage:
    """Return the fleet's first cluster as the hub, the others as members."""
    hub, *members = fleet.clusters.values()
    return Stage(hub, {member.name: member for member in members})


def here() -> Stage:
    """Return the stage that place.sh names, as the shell that read it has it."""
    name = os.environ.get("GUIDE_FLEET")
    if name is None:
        raise StateError("no clusters: run step 11 first, and in another shell: . ./place.sh")
    return stage(Fleet.load(name))


def write(fleet: Fleet, folder: Path, *, installed: bool = False) -> None:
    """Write kubeconfig and place.sh into `folder`.

    Parameters
    ----------
    installed
        Whether Assay was installed for the guide, and goes with it.
    """
    hub, *members = fleet.clusters.values()
    (folder / KUBECONFIG).write_text(fleet.kubeconfig())
    (folder / KUBECONFIG).chmod(0o600)
    contexts = ",".join(f"{member.name}={member.context}" for member in members)
    with socket.create_server((fleet.bridge_address, 0)) as free:
        port = free.getsockname()[1]
    lines = {
        "GUIDE_FLEET": fleet.name,
        "GUIDE_INSTALLED": str(int(installed)),
        "KUBECONFIG": str((folder / KUBECONFIG).resolve()),
        "MEMBERS": contexts,
        "STORE_ADDRESS": fleet.bridge_address,
        "STORE_PORT": str(port),
    }
    text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in lines.items())
    program = folder.resolve() / "bin" / "kubectl"
    program.parent.mkdir(exist_ok=True)
    # A program, and no function of the shell: one in the background is then what `kill` ends.
    program.write_text(
        f'#!/bin/sh\nexec {shlex.quote(str(hub.kubectl_program))} --context={hub.context} "$@"\n'
    )
    program.chmod(0o755)
    text += f"export PATH={shlex.quote(str(program.parent))}:$PATH\n"
    (folder / SHELL).write_text(text)


def up(screen: Screen) -> None:
    """Bring everything up and write place.sh; what is there already is taken as it is."""
    if SHELL.exists():
        screen.note(f"{SHELL} is there: its clusters are used")
        return
    name = os.environ.get("ASSAY_FLEET")
    fleet = Fleet.load(name) if name else Fleet.up(MADE, ["hub", "east", "west"], reporter=screen)
    if name:
        fleet.load_images(screen)
    with screen.step("install Assay: operator on the hub, its account on the members", 20):
        stage(fleet).install(screen.note, MEMORY)
    write(fleet, Path(), installed=True)


def down(screen: Screen) -> None:
    """Remove what `up` made. Nothing there is no error."""
    stop()
    name = os.environ.get("ASSAY_FLEET")
    if name is None:
        local.down(MADE, screen)
    elif SHELL.exists():
        text = SHELL.read_text()
        with suppress(StateError):
            found = stage(Fleet.load(name))
            found.delete(NAME)
            if "GUIDE_INSTALLED=1" in text:
                with screen.step("uninstall Assay", 20):
                    found.uninstall()
    SHELL.unlink(missing_ok=True)


def main() -> int:
    """Run `up` or `down`."""
    parser = argparse.ArgumentParser(prog="python -m examples.digits.place", description=__doc__)
    parser.add_argument("do", choices=["up", "down"])
    console = Console(highlight=False)
    # Who is told to end leaves no half of a fleet.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Screen(console) as screen:
            {"up": up, "down": down}[parser.parse_args().do](screen)
    except KeyboardInterrupt:
        return 130
    except (FleetError, StageError) as error:
        console.print(f"[bold red]failed:[/] {escape(str(error))}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
