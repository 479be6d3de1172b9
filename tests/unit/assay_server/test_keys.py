"""Keys: read from a file, rotated under a running process."""

import base64
import json

import pytest

from assay_server.keys import KeyRing, KeysError


def write(path, active, **keys):
    encoded = {kid: base64.b64encode(secret).decode() for kid, secret in keys.items()}
    # As Kubernetes does it: a new file takes the old one's place.
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"active": active, "keys": encoded}))
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
