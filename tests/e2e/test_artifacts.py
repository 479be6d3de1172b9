"""Artifacts in real pods: signed ones, those behind a door, and those that must not start."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import model_signing
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from demo.manifests import NAMESPACE
from demo.models import Artifact, Version, artifact, copy_of
from demo.stage import Observed
from fleet import Fleet
from tests.e2e.guarded import guarded
from tests.e2e.trial import Trial

pytestmark = pytest.mark.e2e


class Signer:
    """Someone with a key, who signs with the real package."""

    def __init__(self, folder: Path, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._file = folder / f"{name}.pem"
        self._file.write_bytes(
            self._key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    @property
    def public(self) -> str:
        return (
            self._key.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )

    def sign(self, artifact: Artifact, directory: Path) -> None:
        """Put the signature beside the artifact in a store."""
        path = artifact.write(directory)
        config = model_signing.signing.Config()  # type: ignore[no-untyped-call]
        config.use_elliptic_key_signer(private_key=self._file).sign(
            path, path.with_name(f"{path.name}.sig")
        )


@contextmanager
def secret(trial: Trial, name: str, content: dict[str, str]) -> Iterator[None]:
    """Keep a Secret in every member: nothing copies it from the hub."""
    document = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "stringData": content,
    }
    members = trial.stage.members.values()
    for member in members:
        member.kubectl("apply", "-f", "-", input=json.dumps(document))
    try:
        yield
    finally:
        for member in members:
            member.kubectl("delete", "secret", name, "-n", NAMESPACE)


def refused(trial: Trial) -> str:
    """Wait until the artifact is refused; return what status says of it."""

    def holds(found: Observed) -> bool:
        return found.condition("Stalled")[:2] == ("True", "ArtifactRejected")

    return trial.until("an artifact is refused", holds).condition("Stalled")[2]


def test_a_signed_model_serves_and_others_do_not(trial: Trial, tmp_path: Path) -> None:
    team, stranger = Signer(tmp_path, "team"), Signer(tmp_path, "stranger")
    signed, forged, unsigned = (
        artifact(Version.FIRST),
        artifact(Version.GOOD),
        copy_of(Version.GOOD),
    )
    team.sign(signed, trial.store.directory)
    stranger.sign(forged, trial.store.directory)
    wanted = {"model.signature": {"publicKeySecretName": f"{trial.name}-signers"}}
    with secret(trial, f"{trial.name}-signers", {"team.pub": team.public}):
        trial.start(signed, wanted)

        trial.apply(forged, wanted)
        assert "SignatureInvalid: signed by another key" in refused(trial)

        trial.apply(unsigned, wanted)
        trial.until(
            "the missing signature is said",
            lambda found: (
                f"{unsigned.filename}.sig does not exist" in found.condition("Stalled")[2]
            ),
        )

        # Tampered: a file in the place of the signed one, and its digest in the manifest.
        tampered = artifact(Version.CORRUPTED)
        signature = trial.store.directory / f"{signed.filename}.sig"
        (trial.store.directory / f"{tampered.filename}.sig").write_bytes(signature.read_bytes())
        trial.apply(tampered, wanted)
        trial.until(
            "the tampered file is said",
            lambda found: (
                f"SignatureInvalid: signed is {signed.digest}, spec.model.digest is {tampered.digest}"
                in found.condition("Stalled")[2]
            ),
        )

        found = trial.until("stable serves all the while", lambda it: it.status.stable is not None)
        assert found.status.stable is not None
        assert found.status.stable.digest == signed.digest
        assert found.condition("Available")[0] == "True"


def test_credentials_come_from_a_secret_of_the_member(
    trial: Trial, local_fleet: Fleet, tmp_path: Path
) -> None:
    model = artifact(Version.FIRST)
    directory = tmp_path / "store"
    directory.mkdir()
    model.write(directory)
    name = f"{trial.name}-reader"
    with guarded(directory, local_fleet.bridge_address, "hush-4711") as store:
        wanted = {
            "model.uri": f"{store.url}/{model.filename}",
            "model.credentials": {"secretName": name},
        }
        trial.apply(model, wanted)
        message = refused(trial)
        assert (
            "CredentialsInvalid: the Secret of spec.model.credentials.secretName is not" in message
        )

        with secret(trial, name, store.secret):
            trial.until("serving once the Secret is there", lambda found: found.is_ready)

    for member, cluster in trial.stage.members.items():
        for pod in trial.objects(member, "pods", "app.kubernetes.io/component=server"):
            [server] = pod["spec"]["containers"]
            mounted = {item["name"] for item in server["volumeMounts"]}
            assert mounted == {"model", "tmp", "receipts"}
            log = cluster.kubectl(
                "logs", pod["metadata"]["name"], "-n", NAMESPACE, "--all-containers"
            )
            assert "hush-4711" not in log
            assert '"event": "fetched"' in log


def test_a_pickle_needs_the_operators_permission(trial: Trial) -> None:
    """The stage's operator gives none."""
    model = artifact(Version.FIRST)
    trial.apply(model, {"model.format": "Joblib", "model.unsafe": "Allow"})

    assert "UnsafeFormat: a joblib file runs code on load" in refused(trial)
    found = trial.until("marked", lambda it: it.condition("UnsafeModel")[0] == "True")
    assert found.condition("UnsafeModel")[1] == "CodeOnLoad"
