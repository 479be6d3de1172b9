"""https and http: credentials go to one origin, redirects never leave TLS."""

import pytest

from assay_server.artifacts import Credentials, fetch
from tests.certificates import self_signed

from .conftest import AT_ONCE
from .files import CONTENT, a_site


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture
def secure(tls):
    with a_site(tls[1]) as site:
        yield site


TOKEN = Credentials({"token": "hush"})


@pytest.mark.parametrize(
    ("values", "header"),
    [
        ({"token": "hush"}, "Bearer hush"),
        ({"username": "me", "password": "hush"}, "Basic bWU6aHVzaA=="),
    ],
)
def test_credentials_open_the_door(site, tmp_path, content_digest, events, values, header):
    site.authorization = header
    fetch(
        f"{site.address}/private/model",
        content_digest,
        tmp_path / "m",
        credentials=Credentials(values),
    )
    assert (tmp_path / "m").read_bytes() == CONTENT
    # Over plain http that is worth a warning, which does not hold them.
    assert "credentials_in_clear" in [name for name, _ in events()]
    assert "hush" not in str(events())


def test_wrong_ones_do_not(site, tmp_path, content_digest, failure, events):
    site.authorization = "Bearer right"
    line = failure(
        fetch, f"{site.address}/private/model", content_digest, tmp_path / "m", credentials=TOKEN
    )
    assert "401" in line
    assert "hush" not in line + str(events())
    assert site.asked["/private/model"] == 1


def test_credentials_stay_with_their_origin(site, tmp_path, content_digest):
    with a_site() as other:
        fetch(
            f"{site.address}/elsewhere/{other.address}/model",
            content_digest,
            tmp_path / "m",
            credentials=TOKEN,
        )
        assert other.credentials == {"/model": None}
    assert set(site.credentials.values()) == {"Bearer hush"}


def test_credentials_twice_are_refused(site, tmp_path, content_digest, failure):
    uri = f"{site.address}/model".replace("http://", "http://me:hush@")
    line = failure(fetch, uri, content_digest, tmp_path / "m", credentials=TOKEN)
    assert line.startswith(
        "CredentialsInvalid: credentials are in spec.model.uri and in the Secret"
    )
    assert "hush" not in line


def test_a_private_authority_is_trusted_when_named(secure, tls, tmp_path, content_digest, events):
    credentials = Credentials({"ca.crt": tls[0], "token": "hush"})
    fetch(f"{secure.address}/model", content_digest, tmp_path / "m", credentials=credentials)
    assert secure.credentials == {"/model": "Bearer hush"}
    assert "credentials_in_clear" not in [name for name, _ in events()]


def test_and_only_then(secure, tmp_path, content_digest, failure):
    line = failure(
        fetch, f"{secure.address}/model", content_digest, tmp_path / "m", patience=AT_ONCE
    )
    assert "the certificate or TLS of the server is not accepted" in line
    assert secure.asked == {}


def test_an_authority_must_be_one(secure, tmp_path, content_digest, failure):
    credentials = Credentials({"ca.crt": "hush"})
    line = failure(
        fetch, f"{secure.address}/model", content_digest, tmp_path / "m", credentials=credentials
    )
    assert line == "CredentialsInvalid: ca.crt must hold certificates in PEM"


def test_a_redirect_out_of_tls_is_refused(secure, site, tls, tmp_path, content_digest, failure):
    line = failure(
        fetch,
        f"{secure.address}/elsewhere/{site.address}/model",
        content_digest,
        tmp_path / "m",
        credentials=Credentials({"ca.crt": tls[0]}),
    )
    assert line.endswith("redirects from https to http, which is refused")
    assert site.asked == {}


def test_a_redirect_into_tls_is_followed(secure, site, tls, tmp_path, content_digest):
    fetch(
        f"{site.address}/elsewhere/{secure.address}/model",
        content_digest,
        tmp_path / "m",
        credentials=Credentials({"ca.crt": tls[0]}),
    )
    assert secure.asked == {"/model": 1}
