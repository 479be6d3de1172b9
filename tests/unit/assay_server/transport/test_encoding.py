"""Inflating in steps, and what clients take."""

import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_server.transport.encoding import EncodingError, Inflation, deflate, takes_gzip


@given(st.binary(max_size=5000), st.lists(st.integers(0, 6000), max_size=5).map(sorted))
def test_any_steps_lead_to_the_same_end(body, steps):
    inflation = Inflation(deflate(body))
    for size in steps:
        assert inflation.up_to(size) == (len(body) <= size)
        assert len(inflation.result()) <= size + 1
    assert inflation.up_to(5000)
    assert inflation.result() == body


@given(st.binary(max_size=300), st.integers(0, 400))
def test_a_part_of_a_body_is_no_body(body, cut):
    encoded = deflate(body)
    inflation = Inflation(encoded[:cut])
    if cut >= len(encoded):
        assert inflation.up_to(300)
    else:
        with pytest.raises(EncodingError):
            inflation.up_to(300)


@given(st.binary(max_size=300))
def test_any_bytes_are_inflated_or_refused(data):
    with suppress(EncodingError):
        assert Inflation(data).up_to(1000) in {True, False}


def test_zlib_is_taken_and_raw_deflate_is_not():
    inflation = Inflation(zlib.compress(b"abc"))
    assert inflation.up_to(3)
    assert inflation.result() == b"abc"
    raw = zlib.compressobj(wbits=-15)
    with pytest.raises(EncodingError):
        Inflation(raw.compress(b"abc") + raw.flush()).up_to(3)


def test_compressed_answers_do_not_tell_the_time():
    assert deflate(b"x") == deflate(b"x")
    assert gzip.decompress(deflate(b"x" * 1000)) == b"x" * 1000


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("gzip;q=0.001", True),
        ("*;q=0, gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("gzipped", False),
        ("", False),
    ],
)
def test_what_accept_encoding_allows(accepted, expected):
    assert takes_gzip(accepted) is expected
