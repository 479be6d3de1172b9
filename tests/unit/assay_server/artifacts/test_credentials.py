"""A mounted Secret: what counts of it, what is refused, and that it stays in here."""

import base64

import pytest

from assay_server.artifacts import ArtifactError, Credentials


def test_only_known_keys_are_read(secret):
    folder = secret(token="t\n", AWS_REGION="eu-west-1", AZURE_X="1", PYTHONPATH="/evil", other="x")
    found = Credentials.of_directory(folder)
    assert found.values == {"token": "t", "AWS_REGION": "eu-west-1", "AZURE_X": "1"}
    assert found.settings("AWS_") == {"AWS_REGION": "eu-west-1"}


def test_they_do_not_show(secret):
    found = Credentials.of_directory(secret(token="hush"))
    assert "hush" not in f"{found!r} {found}"


def test_a_token_or_a_password_is_a_header():
    assert Credentials().authorization() is None
    assert Credentials({"token": "t"}).authorization() == "Bearer t"
    basic = Credentials({"username": "u", "password": "p:ä"}).authorization()
    assert base64.b64decode(basic.removeprefix("Basic ")).decode() == "u:p:ä"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"token": "t", "username": "u"}, "both a token and a username"),
        ({"username": "u"}, "a username and no password"),
        ({"username": "u:v", "password": "p"}, "must not hold a colon"),
        ({"token": "a\nb"}, "token must be one line of printable characters"),
        ({"token": ""}, "token must be one line of printable characters"),
        ({"username": "u", "password": "a\r\nX-Evil: 1"}, "password must be one line"),
    ],
)
def test_what_is_no_header_is_refused(values, why):
    with pytest.raises(ArtifactError, match=why) as caught:
        Credentials(values).authorization()
    assert caught.value.reason == "CredentialsInvalid"
    assert "Evil" not in str(caught.value)


def test_a_secret_that_is_not_there_is_said(secret, tmp_path, failure):
    words = "the Secret of spec.model.credentials.secretName is not in this cluster, or holds none"
    assert words in failure(Credentials.of_directory, secret())
    assert words in failure(Credentials.of_directory, secret(irrelevant="x"))
    assert "cannot read" in failure(Credentials.of_directory, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "why"), [(b"\xff", "is not UTF-8 text"), (b"x" * 70_000, "longer than 65536 bytes")]
)
def test_a_key_that_cannot_be_read_is_named(secret, failure, content, why):
    assert f"CredentialsInvalid: token {why}" in failure(
        Credentials.of_directory, secret(token=content)
    ).replace("is longer", "longer")
