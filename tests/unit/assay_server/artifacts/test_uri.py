"""Where artifacts are, and what of that may be said aloud."""

from pathlib import Path

import pytest

from assay_server.artifacts import ArtifactError, local_path, without_secrets
from assay_server.artifacts.uri import file_name, scheme_of, signature_beside

CLAIMS = Path("/claims")


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/a/b.skops", "/a/b.skops"),
        ("file:///a%20b", "/a b"),
        ("pvc://models/fraud/7.skops", "/claims/models/fraud/7.skops"),
        ("pvc://models//fraud//7.skops", "/claims/models/fraud/7.skops"),
        ("pvc://models/a%20b", "/claims/models/a b"),
    ],
)
def test_local_ones_are_files(uri, path):
    assert local_path(uri, CLAIMS) == Path(path)


@pytest.mark.parametrize("uri", ["https://h/m", "s3://b/m", "gs://b/m", "az://c/m"])
def test_others_are_not(uri):
    assert local_path(uri, CLAIMS) is None


@pytest.mark.parametrize(
    "uri",
    ["pvc://models", "pvc://models/", "pvc:///m", "pvc://models/../other/m", "pvc://m/%2e%2e/x"],
)
def test_a_claim_has_no_way_out(uri):
    with pytest.raises(ArtifactError, match=r"InvalidURI: .* must read pvc://CLAIM/PATH"):
        local_path(uri, CLAIMS)


@pytest.mark.parametrize("uri", ["ftp://h/m", "simplecache::http://h/m", "github://o:r@/m"])
def test_other_schemes_are_refused(uri):
    with pytest.raises(
        ArtifactError, match=r"InvalidURI: scheme .* is not supported \(https, http"
    ):
        scheme_of(uri)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://user:pass@host:1/a/b?token=1#x", "https://host:1/a/b"),
        ("az://models/m?sig=1", "az://models/m"),
        ("abfss://models@account.dfs.core.windows.net/m", None),
        ("/plain/path", None),
    ],
)
def test_secrets_stay_out_of_messages(uri, shown):
    assert without_secrets(uri) == (shown or uri)


def test_a_signature_is_beside_its_artifact():
    assert signature_beside("https://h/a/m.skops?token=1") == "https://h/a/m.skops.sig?token=1"
    assert signature_beside("s3://b/m") == "s3://b/m.sig"
    assert signature_beside("/a/m") == "/a/m.sig"
    assert file_name("https://h/a/some%20model.skops?token=1") == "some model.skops"
