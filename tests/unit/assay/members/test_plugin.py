"""Credential plugins that are real programs, well-behaved and not."""

import asyncio
import contextlib
import json
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from assay.api.conditions import Reason
from assay.members import plugin
from assay.members.errors import MemberError
from assay.members.profile import Access
from assay.members.providers import Provider

SECRET = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ"


def an_access(tmp_path: Path, script: str, **how: Any) -> Access:
    """Access by a program: a shell script."""
    path = tmp_path / "plugin.sh"
    path.write_text("#!/bin/sh\n" + textwrap.dedent(script))
    path.chmod(0o755)
    document = {
        "name": "test",
        "execConfig": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(path),
            **how,
        },
    }
    cluster = {"server": "https://east:6443", "config": {"clusterName": "east"}}
    provider = Provider.model_validate(document)
    return Access(provider, "https://east:6443", cluster=cluster)


def credential(status: object, **fields: object) -> str:
    document = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    return json.dumps({**document, "status": status, **fields})


def prints(tmp_path: Path, text: str) -> Access:
    (tmp_path / "answer").write_text(text)
    return an_access(tmp_path, f"cat {tmp_path}/answer")


def failure(access: Access, seconds: float = plugin.RUN_SECONDS) -> str:
    with pytest.raises(MemberError) as caught:
        asyncio.run(plugin.run(access, seconds=seconds))
    assert caught.value.reason is Reason.CREDENTIAL_PLUGIN_FAILED
    return caught.value.message


def test_a_token_and_when_it_ends(tmp_path: Path) -> None:
    status = {"token": SECRET, "expirationTimestamp": "2026-11-26T20:00:00Z"}
    found = asyncio.run(plugin.run(prints(tmp_path, credential(status))))
    assert (found.token, found.expires) == (SECRET, 1795723200.0)
    assert SECRET not in repr(found)


def test_it_is_told_of_the_cluster_only_if_it_may_know(tmp_path: Path) -> None:
    script = f"""
        printf '%s' "$KUBERNETES_EXEC_INFO" > {tmp_path}/told; printf '%s' "$1 $MODE" > {tmp_path}/how
        echo '{credential({"token": "t"})}'
    """
    how = {"args": ["--audience=a b"], "env": [{"name": "MODE", "value": "quiet"}]}
    for may_know in (True, False):
        asyncio.run(plugin.run(an_access(tmp_path, script, provideClusterInfo=may_know, **how)))
        told = json.loads((tmp_path / "told").read_text())
        cluster = {"server": "https://east:6443", "config": {"clusterName": "east"}}
        spec = {"interactive": False, **({"cluster": cluster} if may_know else {})}
        assert told == {
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "spec": spec,
        }
        assert (tmp_path / "how").read_text() == "--audience=a b quiet"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("", "did not print JSON"),
        ("[" * 100_000, "did not print JSON"),
        ("[]", "did not print an ExecCredential"),
        ("null", "did not print an ExecCredential"),
        (credential({"token": "t"}, apiVersion="client.authentication.k8s.io/v1beta1"), "another version"),
        (credential(None), "without status"),
        (credential({}), "neither status.token nor a client certificate"),
        (credential({"token": 7}), "status.token that is no string"),
        (credential({"token": "a\r\nX-Forged: 1"}), "characters that no header can hold"),
        (credential({"token": "ü"}), "characters that no header can hold"),
        (credential({"clientCertificateData": "x"}), "one of status.clientCertificateData"),
        (credential({"token": "t", "expirationTimestamp": "soon"}), "no RFC 3339 time"),
        (credential({"token": "t", "expirationTimestamp": "2026-11-26T20:00:00"}), "no RFC 3339"),
    ],
)  # fmt: skip
def test_what_it_prints_is_not_believed(tmp_path: Path, output: str, message: str) -> None:
    assert message in failure(prints(tmp_path, output))


def test_endless_output_is_cut_off(tmp_path: Path) -> None:
    assert "printed more than 262144 bytes" in failure(an_access(tmp_path, "yes"))


def test_endless_errors_do_no_harm(tmp_path: Path) -> None:
    script = f"head -c 5000000 /dev/zero >&2; echo '{credential({'token': 't'})}'"
    assert asyncio.run(plugin.run(an_access(tmp_path, script))).token == "t"


def gone(pid: int) -> bool:
    """Whether a process ends (one that nobody has waited for yet has ended, too).

    One that was killed still has to be scheduled once.
    """
    end = time.monotonic() + 30.0
    with contextlib.suppress(OSError):
        while time.monotonic() < end:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] == "Z":
                return True
            time.sleep(0.02)
        return False
    return True


async def written(path: Path) -> int:
    while not (path.exists() and path.read_text().endswith("\n")):  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.01)
    return int(path.read_text())  # noqa: ASYNC240


HANGS = "sleep 600 & echo $! > {}/child; wait"


def test_one_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    access = an_access(tmp_path, HANGS.format(tmp_path))
    assert "did not end within 2 s and was killed" in failure(access, seconds=2)
    assert gone(int((tmp_path / "child").read_text()))


def test_it_is_killed_when_the_operator_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        task = asyncio.create_task(plugin.run(an_access(tmp_path, HANGS.format(tmp_path))))
        child = await written(tmp_path / "child")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not gone(child):  # noqa: ASYNC110  (no event tells)
            await asyncio.sleep(0.01)

    asyncio.run(scenario())


def open_files() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


def test_a_child_that_left_the_session_holds_up_nobody(tmp_path: Path) -> None:
    """It holds the pipe open, so its output never ends."""
    script = f"setsid sleep 4 & echo '{credential({'token': 't'})}'"
    before = open_files()
    assert "did not end within 1 s" in failure(an_access(tmp_path, script), seconds=1)
    assert open_files() <= before


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("region is not set", "region is not set"),
        (f"got {SECRET}.{SECRET}", "got ***.***"),
        ("Authorization: Bearer abc", "Authorization: Bearer ***"),
        ("password=hunter2 for bob", "*** for bob"),
        ("the value is in-the-env!", "the value is ***!"),
        ("no route to sts.eu-west-1.amazonaws.com", "no route to sts.eu-west-1.amazonaws.com"),
        ("x" * 5000, "x" * 200),
        ("red \\033[31mline", "red [31mline"),
    ],
)
def test_of_its_errors_one_line_is_shown_without_secrets(
    tmp_path: Path, line: str, shown: str
) -> None:
    access = an_access(
        tmp_path,
        f"printf '{line}\\nsecond line\\n' >&2; exit 3",
        env=[{"name": "PIN", "value": "in-the-env"}],
    )
    assert failure(access).endswith(f"plugin.sh ended with code 3: {shown}")


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    access = an_access(tmp_path, "")
    Path(access.provider.exec_config.command).unlink()
    assert "cannot be started: No such file or directory" in failure(access)
