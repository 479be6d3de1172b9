"""Keys: read from a file, rotated under a running process."""

import base64
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_server.keys import KeyRing, KeysError, Mac


def write(path, active, salt=None, **keys):
    encoded = {kid: base64.b64encode(secret).decode() for kid, secret in keys.items()}
    salted = {} if salt is None else {"salt": base64.b64encode(salt).decode()}
    # As Kubernetes does it: a new file takes the old one's place.
    fresh = path.with_suffix(".new")
    # What the operator writes beside them is not for us.
    dates = {"made": dict.fromkeys(keys, 1), "ended": {}}
    fresh.write_text(json.dumps({"active": active, "keys": encoded, **dates, **salted}))
    fresh.replace(path)


OLD, NEW = b"o" * 32, b"n" * 32


def test_a_rotation_is_seen_within_a_second(tmp_path):
    now = 0.0
    path = tmp_path / "keys.json"
    write(path, "a", a=OLD)
    ring = KeyRing.from_file(path, clock=lambda: now)
    write(path, "b", a=OLD, b=NEW)
    assert ring.active() == ("a", OLD)
    now = 1.0
    assert ring.active() == ("b", NEW)
    assert ring.secret("a") == OLD


def test_an_unknown_key_is_looked_up_at_once(tmp_path):
    path = tmp_path / "keys.json"
    write(path, "a", a=OLD)
    ring = KeyRing.from_file(path, clock=lambda: 0.0)
    assert ring.secret("b") is None
    write(path, "b", b=NEW)
    assert ring.secret("b") == NEW
    assert ring.secret("a") is None


@pytest.mark.parametrize("broken", ["", "{}", '{"active": "c", "keys": {}}', None])
def test_a_broken_rotation_keeps_the_last_good_keys(tmp_path, broken):
    now = 0.0
    path = tmp_path / "keys.json"
    write(path, "a", a=OLD)
    ring = KeyRing.from_file(path, clock=lambda: now)
    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
    now = 2.0
    assert ring.active() == ("a", OLD)
    write(path, "b", b=NEW)
    now = 4.0
    assert ring.active() == ("b", NEW)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nonsense", "is not JSON"),
        ("[]", "must hold"),
        ('{"active": "a", "keys": {"a": "AAAA"}}', "key a .* must be 32 bytes in base64"),
        ('{"active": "a", "keys": {"a": "!"}}', "key a .* must be 32 bytes in base64"),
        ('{"active": "a", "keys": {"a": 1}}', "key a .* must be 32 bytes in base64"),
        ('{"active": "a", "keys": {"toolong": "AAAA"}}', "must be 1 to 4 of a-z and 0-9"),
        ('{"active": "b", "keys": {}}', "the active key of .* is not among its keys"),
        ('{"active": [], "keys": {}}', "the active key of .* is not among its keys"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(KeysError, match=message):
        KeyRing.from_file(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(KeysError, match="cannot read the key file"):
        KeyRing.from_file(tmp_path / "keys.json")


def test_the_salt_is_read_with_the_keys_and_kept_with_the_last_good_ones(tmp_path):
    now = 0.0
    path = tmp_path / "keys.json"
    write(path, "a", a=OLD)
    ring = KeyRing.from_file(path, clock=lambda: now)
    assert ring.salt() is None
    write(path, "b", salt=b"s" * 32, a=OLD, b=NEW)
    now = 1.0
    assert ring.salt() == b"s" * 32
    path.write_text('{"active": "b", "keys": {"b": "short"}, "salt": "short"}')
    now = 2.0
    assert (ring.active(), ring.salt()) == (("b", NEW), b"s" * 32)


def test_a_salt_of_another_size_is_refused(tmp_path):
    path = tmp_path / "keys.json"
    write(path, "a", salt=b"short", a=OLD)
    with pytest.raises(KeysError, match=r"the salt in .* must be 32 bytes in base64"):
        KeyRing.from_file(path)


def test_a_ring_that_dies_with_the_process_has_a_salt_of_its_own():
    salts = {KeyRing.ephemeral().salt() for _ in range(2)}
    assert len(salts) == 2
    assert {len(salt) for salt in salts} == {32}


@given(st.binary(min_size=1, max_size=64), st.binary(max_size=100), st.binary(max_size=200))
def test_a_mac_with_a_kept_state_is_hmac(secret, beginning, rest):
    mac = Mac(secret, beginning)
    for _ in range(2):
        assert mac.digest(rest) == hmac.digest(secret, beginning + rest, "sha256")
