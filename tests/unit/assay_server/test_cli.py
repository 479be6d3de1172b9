"""The command line: options, their environment variables, and one clear line when it fails."""

import json
import logging
import pickle
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import joblib
import model_signing
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from assay_server.cli import main


@pytest.fixture(autouse=True)
def kept_logging():
    """Commands that run in this process send its logs to a stream that ends with them."""
    handlers = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers


def run(*arguments, **environment):
    variables = {f"ASSAY_{name}": str(value) for name, value in environment.items()}
    return CliRunner().invoke(main, [str(part) for part in arguments], env=variables)


@pytest.mark.parametrize("command", ["serve", "ledger", "fetch"])
def test_every_option_has_its_variable_and_a_help_text(command):
    for option in main.commands[command].params:
        assert option.envvar == "ASSAY_" + option.name.upper()
        assert option.show_envvar
        assert option.help
    text = run(command, "--help").output
    assert text.count("ASSAY_") == len(main.commands[command].params)


def test_help_is_there_without_docstrings():
    """As in the image, which runs with PYTHONOPTIMIZE=2."""
    program = Path(sys.executable).parent / "assay-server"
    environment = {"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1"}
    for command, words in (([], "Serve predictions"), (["serve"], "Serve one model by the Open")):
        text = subprocess.check_output([program, *command, "--help"], env=environment, text=True)
        assert words in text


def test_the_version_is_the_distributions():
    assert run("--version").output == f"assay-server, version {version('assay')}\n"


def test_fetch_from_the_environment(artifact, tmp_path):
    target = tmp_path / "model"
    result = run(
        "fetch", MODEL_URI=artifact.path, DIGEST=artifact.digest, TARGET=target, MAX_BYTES=10**6
    )
    assert result.exit_code == 0
    assert target.read_bytes() == artifact.path.read_bytes()


def test_a_failure_is_one_line_here_and_in_the_termination_log(artifact, tmp_path):
    log = tmp_path / "termination-log"
    log.write_text("an older and longer message that must not stay behind\n" * 9)
    wrong = "sha256:" + "0" * 64
    result = run(
        *("fetch", "--model-uri", artifact.path, "--digest", wrong, "--target", tmp_path / "m"),
        TERMINATION_LOG=log,
    )
    assert result.exit_code == 1
    assert re.fullmatch(
        rf"DigestMismatch: \S+ has digest {artifact.digest}, spec.model.digest is {wrong}\n",
        result.output,
    )
    assert log.read_text() == result.output


def test_no_termination_log_is_made(artifact, tmp_path):
    log = tmp_path / "termination-log"
    arguments = ("--digest", artifact.digest, "--target", tmp_path / "m")
    result = run("fetch", "--model-uri", "ftp://b/m", *arguments, TERMINATION_LOG=log)
    assert result.output.startswith("InvalidURI: scheme 'ftp' is not supported")
    assert not log.exists()


def test_fetch_from_a_claim_signed_and_with_credentials(artifact, tmp_path):
    """All that an init container gets, by the real program."""
    claim, signers, secret = (tmp_path / name for name in ("claims/models", "signers", "secret"))
    for folder in (claim, signers, secret):
        folder.mkdir(parents=True)
    (claim / "7.skops").write_bytes(artifact.path.read_bytes())
    (secret / "token").write_text("hush")
    private = tmp_path / "private.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (signers / "team.pub").write_bytes(public)
    model_signing.signing.Config().use_elliptic_key_signer(private_key=private).sign(
        claim / "7.skops", claim / "signed"
    )
    arguments = [
        *("fetch", "--model-uri", "pvc://models/7.skops", "--digest", artifact.digest),
        *("--claims-dir", tmp_path / "claims", "--credentials-dir", secret),
        *("--signers-dir", signers, "--target", tmp_path / "m"),
    ]
    missing = run(*arguments)
    assert missing.exit_code == 1
    assert missing.output.endswith("FetchFailed: pvc://models/7.skops.sig does not exist\n")
    program = Path(sys.executable).parent / "assay-server"
    done = subprocess.run(
        [program, *map(str, arguments), "--signature-uri", "pvc://models/signed"],
        check=True,
        capture_output=True,
        text=True,
    )
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [event["event"] for event in events] == ["signature_verified", "fetched"]
    assert "hush" not in done.stderr
    assert (tmp_path / "m").read_bytes() == artifact.path.read_bytes()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--credentials-dir", "CredentialsInvalid: the Secret of spec.model.credentials"),
        ("--signers-dir", "SignatureInvalid: the Secret of spec.model.signature"),
    ],
)
def test_a_secret_that_is_not_there_lets_nothing_start(artifact, tmp_path, option, message):
    """The kubelet mounts an empty folder for it."""
    (tmp_path / "empty").mkdir()
    result = run(
        *("fetch", "--model-uri", artifact.path, "--digest", artifact.digest),
        *("--target", tmp_path / "m", option, tmp_path / "empty"),
    )
    assert result.exit_code == 1
    assert result.output.startswith(message)
    assert not (tmp_path / "m").exists()


def test_a_joblib_model_is_served_only_when_allowed_and_says_so(
    start, serve_arguments, artifact, tmp_path, digest
):
    path = tmp_path / "m.joblib"
    joblib.dump(artifact.model, path)
    change = ("--model-uri", path, "--digest", digest(path), "--format", "Joblib")
    with start(*serve_arguments, *change, ready=False) as process:
        assert process.wait() == 1
        assert process.text().startswith("UnsafeFormat: a joblib file runs code on load")
    with start(*serve_arguments, *change, "--unsafe", "Allow") as process:
        assert "unsafe_model" in [event["event"] for event in process.events()]
        metadata = process.request("GET", "/v2/models/fraud").json()
        assert metadata["properties"]["unsafe"].startswith("a Joblib artifact")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--digest": "sha256:" + "0" * 64}, "DigestMismatch: "),
        ({"--model-uri": "/nowhere/m.skops"}, "FetchFailed: cannot read /nowhere/m.skops: No such"),
        (
            {"--positive-label": "x"},
            "UnsupportedModel: the positive label 'x' is not a class (0, 1)",
        ),
        ({"--keys-file": "/nowhere/keys"}, "KeysUnusable: cannot read the key file /nowhere/keys"),
        ({"--host": "192.0.2.1"}, "ListenFailed: 192.0.2.1:0: "),
        (
            {"--tls-cert": "/nowhere/c", "--tls-key": "/nowhere/k"},
            "TLSUnusable: cannot read /nowhere/c: No such file or directory",
        ),
    ],
)
def test_a_server_that_cannot_start_says_why(start, serve_arguments, change, message):
    extra = [part for pair in change.items() for part in pair]
    with start(*serve_arguments, *extra, ready=False) as process:
        assert process.wait() == 1
        last = process.text().splitlines()[-1]
        assert last.startswith(message)
        assert process.termination_log.read_text() == last + "\n"


def test_a_pickle_is_refused_by_the_server(start, serve_arguments, tmp_path, digest):
    path = tmp_path / "model.skops"
    path.write_bytes(pickle.dumps({"a": 1}))
    change = ("--model-uri", path, "--digest", digest(path))
    with start(*serve_arguments, *change, ready=False) as process:
        assert process.wait() == 1
        assert process.text().startswith("UnsupportedFormat: the artifact is a pickle")


def test_without_a_key_file_at_the_default_place_the_server_still_serves(start, serve_arguments):
    arguments = list(serve_arguments)
    place = arguments.index("--keys-file")
    del arguments[place : place + 2]
    with start(*arguments) as process:
        assert "keys_ephemeral" in process.text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve"], "Missing option '--model-uri' (env var: 'ASSAY_MODEL_URI')"),
        (
            [
                *("fetch", "--digest", "sha256:" + "0" * 64, "--model-uri", "/m", "--target", "t"),
                *("--signature-uri", "/m.sig"),
            ],
            "--signature-uri needs --signers-dir: the keys that are trusted",
        ),
        (["serve", "--format", "Pickle"], "'Pickle' is not one of 'Skops', 'Onnx', 'Joblib'"),
        (["fetch", "--digest", "x"], "InvalidDigest: 'x' must be 'sha256:'"),
        (["ledger", "--store", "sqlite:///x"], "Missing option '--deployment'"),
        (["ledger", "--members", "[]"], 'must be JSON like {"east": "http://...", "west": null}'),
        (["ledger", "--members", '{"a": 1}'], "must be JSON like"),
        (["ledger", "--classes", "[1]"], "must be a JSON array of strings or names between commas"),
        (["serve", "--revision", "UPPER"], "must be 1 to 16 of a-z, 0-9 and -"),
        (
            ["ledger", "--store", "sqlite:///x", "--deployment", "d", "--tls-key", "k"],
            "--tls-cert and --tls-key need each other",
        ),
        (["serve", "--threshold", "2"], "2.0 is not in the range 0<=x<=1"),
        (
            [
                *(
                    "serve",
                    "--model-uri",
                    "m",
                    "--digest",
                    f"sha256:{'0' * 64}",
                    "--model-name",
                    "m",
                ),
                *("--model-version", "1", "--http-port", "0", "--keys-file", "k"),
                *("--user-header", "h", "--user-cookie", "c"),
            ],
            "--user-header and --user-cookie exclude each other",
        ),
    ],
)
def test_bad_usage_is_exit_code_2(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://h/d", "StoreFailed: the store must look like sqlite:////data/ledger.db or"),
        ("postgresql://h/d", "StoreFailed: the URL of the store must look like postgresql://user"),
    ],
)
def test_a_store_that_is_no_url(start, ledger_arguments, url, message):
    with start(*ledger_arguments("x", "--store", url), ready=False) as process:
        assert process.wait() == 1
        assert process.text().startswith(message)
