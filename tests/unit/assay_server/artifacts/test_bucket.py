"""Buckets: each of the three clouds' protocols, with credentials that are checked."""

import hashlib
import secrets

import pytest

from assay_server.artifacts import Credentials, Patience, fetch

from .stores import amazon, azure, google

ONCE = Patience(attempts=1)
NEVER = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def content():
    """More than two ranges, and no round number."""
    return secrets.token_bytes(2 * 8 * 1024 * 1024 + 12_345)


@pytest.fixture(scope="module", params=["s3", "gs", "az"])
def store(request, content, tmp_path_factory):
    servers = {
        "s3": lambda: amazon(content, tmp_path_factory.mktemp("s3")),
        "gs": lambda: google(content),
        "az": lambda: azure(content),
    }
    with servers[request.param]() as store:
        yield store


def test_an_object_is_fetched_range_by_range(store, content, tmp_path, events):
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    fetch(store.uri, digest, tmp_path / "m", credentials=Credentials(store.settings))
    assert (tmp_path / "m").read_bytes() == content
    assert events()[-1][1]["bytes"] == len(content)
    assert not [value for value in store.settings.values() if value in str(events())]


def test_an_object_that_is_not_there(store, tmp_path, failure):
    line = failure(
        fetch, f"{store.uri}x", NEVER, tmp_path / "m", credentials=Credentials(store.settings)
    )
    assert line == f"FetchFailed: {store.uri}x does not exist"


def test_wrong_credentials(store, tmp_path, failure):
    wrong = dict(store.settings)
    if store.uri.startswith("gs"):
        with google(b"another account's") as other:
            key = other.settings["GOOGLE_APPLICATION_CREDENTIALS"]
        here = store.settings["GOOGLE_APPLICATION_CREDENTIALS"]
        address = here.split('"gcs_base_url": "')[1].split('"')[0]
        there = key.split('"gcs_base_url": "')[1].split('"')[0]
        wrong["GOOGLE_APPLICATION_CREDENTIALS"] = key.replace(there, address)
    else:
        [name] = [name for name in wrong if name.endswith(("SECRET_ACCESS_KEY", "ACCOUNT_KEY"))]
        wrong[name] = "d3Jvbmc="
    line = failure(fetch, store.uri, NEVER, tmp_path / "m", credentials=Credentials(wrong))
    assert line == f"FetchFailed: cannot read {store.uri}: PermissionDeniedError 403"


UNUSABLE = {
    "a setting that is none": (
        "s3://b/m",
        {"AWS_NONSENSE": "x"},
        "the Secret holds AWS_NONSENSE, which is no setting of this store",
    ),
    "no account": (
        "az://c/m",
        {"AZURE_STORAGE_ACCOUNT_KEY": "a2V5"},
        "the Secret holds no AZURE_STORAGE_ACCOUNT_NAME",
    ),
    "a key that is none": (
        "az://c/m",
        {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "%hush"},
        "AZURE_STORAGE_ACCOUNT_KEY in the Secret is not base64",
    ),
    "a service account without a key": (
        "gs://b/m",
        {"GOOGLE_APPLICATION_CREDENTIALS": "{}"},
        "GOOGLE_APPLICATION_CREDENTIALS in the Secret is no key of a service account",
    ),
    "a path to a service account's key": (
        "gs://b/m",
        {"GOOGLE_APPLICATION_CREDENTIALS": "/etc/hush.json"},
        "must be the JSON of a service account's key, not a path to it",
    ),
    "none at all, and no machine of the cloud to ask": (
        "s3://b/m",
        {"AWS_METADATA_ENDPOINT": "http://127.0.0.1:1"},
        "no credentials for S3: name a Secret in spec.model.credentials",
    ),
}


@pytest.mark.parametrize(("uri", "settings", "why"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_credentials_that_cannot_be_used_say_why(uri, settings, why, tmp_path, failure):
    line = failure(fetch, uri, NEVER, tmp_path / "m", credentials=Credentials(settings))
    assert why in line
    assert "hush" not in line


def test_a_store_that_is_away_may_come_back(tmp_path, failure, events):
    settings = {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    }
    line = failure(
        fetch,
        "s3://b/m",
        NEVER,
        tmp_path / "m",
        credentials=Credentials(settings),
        patience=Patience(attempts=2, first_pause=0.0),
    )
    assert line == "FetchFailed: cannot read s3://b/m: GenericError Connect"
    assert [name for name, _ in events()] == ["fetch_retry"]
