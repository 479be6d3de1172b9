"""Ways to break a request."""

import gzip
import random
import zlib
from collections.abc import Callable

from tests.fuzz.conversations import Draft, Speaker, chunked

_LENGTHS = (
    *(b"", b"-1", b"+5", b"0x10", b"1e3", b"1_0", b"\xb2", b"5, 5", b"5, 6", b" 7", b"00000000007"),
    *(b"18446744073709551616", b"9223372036854775807", b"4294967296", b"99999999", b"70000", b"0"),
)
_CODINGS = (b"chunked, chunked", b"gzip, chunked", b"chunked, identity", b"identity", b"xchunked")
_CHUNKS = (
    *(b"ZZ\r\n", b"-1\r\n", b"ffffffffffffffff\r\n", b"5;a=b\r\nhello\r\n", b"5\nhello\n0\n\n"),
    *(
        b"0\r\nx: y\r\n\r\n",
        b"0\r\n",
        b"5\r\nhello",
        b"5\r\nhelloX\r\n",
        b"00000000005\r\nhello\r\n",
    ),
    *(b"0\r\n\r\n", b"7fffffff\r\n" + b"a" * 2000, b"5;" + b"a" * 20000 + b"\r\nhello\r\n"),
)
_HEADERS = (
    *((b"expect", b"100-continue"), (b"expect", b"x"), (b"connection", b"upgrade")),
    *((b"connection", b"close"), (b"connection", b"keep-alive, \x7f"), (b"upgrade", b"h2c")),
    *((b"host", b"two"), (b"assay-stratum", b"x/300"), (b"assay-stratum", b"\xff/1")),
    *((b"inference-header-content-length", b"5"), (b"inference-header-content-length", b"-1")),
    *((b"inference-header-content-length", b"999999999999"), (b"accept-encoding", b"gzip;q=x,,;")),
    *((b"accept", b"application/openmetrics-text;version=9"), (b"x-request-id", b"\xc3\xbc" * 90)),
    *(
        (b"authorization", b"Bearer \xff"),
        (b"authorization", b"Bearer"),
        (b"content-encoding", b"br"),
    ),
    *((b"content-type", b"multipart/form-data; boundary="), (b"a" * 70000, b"b"), (b"", b"empty")),
    *((b"x", b"a" * 70000), (b"no colon", b""), (b"x\0y", b"z"), (b"x", b"y\r\n folded")),
    *((b"transfer-encoding", b"chunked"), (b"content-length", b"3"), (b"trailer", b"x")),
)
_METHODS = (
    b"get",
    b"HEAD",
    b"OPTIONS",
    b"TRACE",
    b"CONNECT",
    b"PUT",
    b"PRI",
    b"",
    b"P\0ST",
    b"A" * 300,
)
_PATHS = (
    *(
        b"*",
        b"",
        b"/%",
        b"/%00",
        b"/%ff",
        b"/v2/models/fraud%2Finfer",
        b"//v2",
        b"/v2/../v2",
        b"/v2?",
    ),
    *(
        b"http://other/v2",
        b"/v2#x",
        b"/\xff\xfe",
        b"/" + b"a" * 9000,
        b"/v2/models/fraud/labels?after=",
    ),
    *(b"/v2/models/fraud/labels?after=1:zz", b"/v2/models/fraud/labels?format=%ff"),
    b"/v2/models/fraud/labels?format=csv&after=99999999999999999999999:00",
    b"/v2/models/fraud/labels?format=csv&after=-1:",
)
_GARBAGE = (
    *(
        b"\r\n\r\n",
        b"\0" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v2 HTTP/1.0\r\n\r\n",
        b"GET /v2\r\n\r\n",
    ),
    *(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /v2 HTTP/1.1\n\n",
    ),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\xff\xff\1\4\0\0\0\1" + b"\x82" * 64,
)
_DEEP = 3000


def broken(speaker: Speaker, dice: random.Random) -> bytes:
    """Return one request that is broken somewhere, or looks as if."""
    if dice.random() < 0.05:
        return dice.choice(_GARBAGE) + dice.randbytes(dice.randrange(40))
    draft = dice.choice(_WAYS)(speaker.draft(dice), dice)
    data = draft.bytes()
    if dice.random() < 0.2:
        data = data[: dice.randrange(1, len(data) + 1)]
    if dice.random() < 0.1:
        data = noisy(data, dice)
    return data


def noisy(data: bytes, dice: random.Random) -> bytes:
    """Return data with some bytes changed, dropped, doubled or added."""
    content = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 5))):
        at, end = sorted(dice.randrange(len(content) + 1) for _ in range(2))
        end = min(end, at + dice.choice((1, 1, 4, 64)))
        match dice.randrange(4):
            case 0:
                content[at:end] = dice.randbytes(end - at)
            case 1:
                del content[at:end]
            case 2:
                content[at:at] = content[at:end]
            case _:
                content[at:at] = dice.choice((b'"', b"\0", b"[", b"}", b",", b"1e999", b"\\ud800"))
    return bytes(content)


def _fitting(draft: Draft, body: bytes) -> Draft:
    """Return the request with another body, and the length that it has."""
    headers = [(name, value) for name, value in draft.headers if name != b"content-length"]
    length = (b"content-length", b"%d" % len(body))
    return Draft(draft.method, draft.path, [*headers, length], body)


def _as_it_is(draft: Draft, _dice: random.Random) -> Draft:
    return draft


def _body(draft: Draft, dice: random.Random) -> Draft:
    return _fitting(draft, noisy(draft.body, dice))


def _deep(draft: Draft, dice: random.Random) -> Draft:
    word = dice.choice((b'{"labels":', b'{"served":', b'{"x":', b'{"inputs":', b""))
    return _fitting(draft, word + dice.choice((b"[", b'{"a":')) * _DEEP)


def _length(draft: Draft, dice: random.Random) -> Draft:
    fitting = _fitting(draft, draft.body)
    size = len(draft.body)
    length = dice.choice((*_LENGTHS, b"%d" % (size + 1), b"%d" % max(size - 1, 0)))
    fitting.headers[-1] = (b"content-length", length)
    return fitting


def _two_lengths(draft: Draft, dice: random.Random) -> Draft:
    fitting = _fitting(draft, draft.body)
    fitting.headers.append((b"content-length", dice.choice(_LENGTHS)))
    return fitting


def _coding(draft: Draft, dice: random.Random) -> Draft:
    other = chunked(dice, draft)
    other.headers[-1] = (b"transfer-encoding", dice.choice(_CODINGS))
    return other


def _chunks(draft: Draft, dice: random.Random) -> Draft:
    other = chunked(dice, draft)
    at = dice.choice((0, len(other.body) - 5))
    other.body = other.body[:at] + dice.choice(_CHUNKS) + other.body[at:]
    if dice.random() < 0.2:
        other.headers.append((b"content-length", b"%d" % len(draft.body)))
    return other


def _header(draft: Draft, dice: random.Random) -> Draft:
    extra = [dice.choice(_HEADERS) for _ in range(dice.choice((1, 1, 2, 5)))]
    if dice.random() < 0.05:
        extra *= 60
    headers = [*draft.headers, *extra]
    dice.shuffle(headers)
    return Draft(draft.method, draft.path, headers, draft.body)


def _no_headers(draft: Draft, _dice: random.Random) -> Draft:
    return Draft(draft.method, draft.path, [], draft.body)


def _method(draft: Draft, dice: random.Random) -> Draft:
    return Draft(dice.choice(_METHODS), draft.path, draft.headers, draft.body)


def _path(draft: Draft, dice: random.Random) -> Draft:
    path = dice.choice((dice.choice(_PATHS), noisy(draft.path, dice)))
    return Draft(draft.method, path, draft.headers, draft.body)


def _compressed(draft: Draft, dice: random.Random) -> Draft:
    name, pack = dice.choice(((b"gzip", gzip.compress), (b"deflate", zlib.compress)))
    # Now and then what is far beyond every limit once it is inflated.
    body = pack(b" " * 2**24 if dice.random() < 0.01 else draft.body)
    if dice.random() < 0.7:
        body = noisy(body, dice)
    fitting = _fitting(draft, body)
    fitting.headers.append((b"content-encoding", name))
    return fitting


def _large(draft: Draft, dice: random.Random) -> Draft:
    if dice.random() < 0.9:
        return _body(draft, dice)
    return _fitting(draft, draft.body + b" " * dice.choice((65536, 70000, 1_100_000)))


_WAYS: tuple[Callable[[Draft, random.Random], Draft], ...] = (
    *(_as_it_is, _body, _body, _body, _deep, _length, _two_lengths, _coding, _chunks, _chunks),
    *(_header, _header, _no_headers, _method, _path, _compressed, _large),
)
