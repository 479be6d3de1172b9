"""Who may label and export: tokens from a file that may change."""

from types import SimpleNamespace

import pytest

from assay_server.ledger.tokens import Tokens, TokensError
from assay_server.transport import HTTPError


def request(authorization=None):
    headers = {} if authorization is None else {"authorization": authorization}
    return SimpleNamespace(header=headers.get)


def test_every_line_is_a_valid_token(tmp_path):
    (tmp_path / "tokens").write_text("old\nnew\n")
    tokens = Tokens(tmp_path / "tokens")
    tokens.check(request("Bearer old"))
    tokens.check(request("Bearer new"))


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer ", "Bearer other", "Basic b2xk", "old"]
)
def test_without_one_of_them_nobody_passes(tmp_path, given):
    (tmp_path / "tokens").write_text("old\n")
    with pytest.raises(HTTPError) as refused:
        Tokens(tmp_path / "tokens").check(request(given))
    assert refused.value.status == 401
    assert b"old" not in refused.value.body


def test_a_changed_file_counts_and_a_broken_one_changes_nothing(tmp_path):
    clock = SimpleNamespace(now=0.0)
    file = tmp_path / "tokens"
    file.write_text("old\n")
    tokens = Tokens(file, clock=lambda: clock.now)
    file.write_text("new\n")
    clock.now += 2.0
    tokens.check(request("Bearer new"))
    with pytest.raises(HTTPError):
        tokens.check(request("Bearer old"))
    file.write_text("\n")
    clock.now += 2.0
    tokens.check(request("Bearer new"))


def test_a_file_without_a_token_is_refused_at_the_start(tmp_path):
    (tmp_path / "tokens").write_text("\n")
    with pytest.raises(TokensError, match="there is no token in"):
        Tokens(tmp_path / "tokens")
    with pytest.raises(TokensError, match="No such file"):
        Tokens(tmp_path / "none")
