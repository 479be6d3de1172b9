"""Many conversations with a real process at once, judged as they end."""

import asyncio
import random
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from tests.fuzz.conversations import Conversation, End, Speaker, conversation
from tests.fuzz.findings import Finding, Tally
from tests.fuzz.servers import GoneError, Server

AT_ONCE = 16
# Caches, arenas and counters fill in the first tenth of the requests; what comes on top is a leak.
GROWTH_MIB = 32.0
# More findings than that are the same one again and again.
MOST_FINDINGS = 20
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_LINGER = struct.pack("ii", 1, 0)
_PIECE = 65536

Progress = Callable[[int, str], None]


@dataclass
class _Run:
    """What has come of a run so far."""

    server: Server
    budget: int
    progress: Progress
    started: int = 0
    ended: int = 0
    good: int = 0
    refused: int = 0
    overloaded: int = 0
    first: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    under_way: dict[int, Conversation] = field(default_factory=dict)
    fault: Exception | None = None

    def end(self, talk: Conversation) -> None:
        """Count a conversation."""
        self.ended += talk.requests
        self.good += len(talk.good)
        if not self.first and self.ended * 10 >= self.budget:
            self.first = self.server.resident()
        self.progress(self.ended, f"{self.refused} refused")

    def find(self, what: str, talk: Conversation) -> None:
        """Note a finding."""
        before, after = talk.writes()
        self.findings.append(Finding(self.server.name, what, (*before, *after)))


def attack(
    server: Server,
    speaker: Speaker,
    requests: int,
    *,
    seed: int = 0,
    progress: Progress = lambda _count, _text: None,
) -> Tally:
    """Send so many requests and judge the answers; then ask whether all is well."""
    run = _Run(server, requests, progress)
    start = time.monotonic()
    try:
        asyncio.run(_talk(run, speaker, seed))
        last = server.resident()
        for what in _afterwards(server, speaker, seed):
            run.findings.append(Finding(server.name, what, ()))
    except (GoneError, OSError) as error:
        last = run.first
        talks = [
            (*before, *after) for before, after in map(Conversation.writes, run.under_way.values())
        ]
        # What the others saw of it says nothing more.
        inputs = tuple(b"".join(pieces) for pieces in talks)
        run.findings = [Finding(server.name, str(error), inputs)]
    growth = last - run.first
    if growth > GROWTH_MIB:
        what = f"memory grew by {growth:.0f} MiB after the first tenth ({GROWTH_MIB:.0f} may be)"
        run.findings.append(Finding(server.name, what, ()))
    remarks: dict[str, float | str] = {
        "good": run.good,
        "refused": run.refused,
        "overloaded": run.overloaded,
        "first_mib": round(run.first, 1),
        "last_mib": round(last, 1),
        "seed": seed,
    }
    return Tally(server.name, run.ended, time.monotonic() - start, remarks, tuple(run.findings))


def repeat(server: Server, finding: Finding) -> list[int]:
    """Write the input of a finding once more; return the statuses that come back."""

    async def talk() -> list[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await _write(writer, list(finding.inputs))
        writer.write_eof()
        return _statuses(await _rest(reader))

    return asyncio.run(talk())


async def _talk(run: _Run, speaker: Speaker, seed: int) -> None:
    async def one_after_another() -> None:
        for index, talk in _conversations(run, speaker, seed):
            run.under_way[index] = talk
            try:
                await _hold(run, talk)
            except (GoneError, OSError) as error:
                run.fault = run.fault or error
                return
            del run.under_way[index]
            run.end(talk)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(one_after_another())
    if run.fault is not None:
        run.server.gone()
        raise run.fault


def _conversations(run: _Run, speaker: Speaker, seed: int) -> Iterator[tuple[int, Conversation]]:
    while run.ended < run.budget and len(run.findings) < MOST_FINDINGS and run.fault is None:
        index = run.started
        run.started += 1
        yield index, conversation(speaker, random.Random(f"{seed}:{index}"))


async def _hold(run: _Run, talk: Conversation) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", run.server.port)
    before, after = talk.writes()
    answered = 0
    try:
        await _write(writer, before)
        for good in talk.good:
            status, body = await _answer(reader)
            answered += 1
            if wrong := good.check(status, body):
                run.find(wrong, talk)
        await _write(writer, after)
        if not after or talk.end is not End.HALF:
            return
        writer.write_eof()
        for status in _statuses(await _rest(reader)):
            run.refused += 400 <= status < 500
            run.overloaded += status == 503
            if status >= 500 and status != 503:
                run.find(f"answered {status}", talk)
    except (OSError, asyncio.IncompleteReadError) as error:
        run.server.check()
        # Who has sent what is broken may be cut off at any time.
        if answered < len(talk.good):
            run.find(f"a good request is not answered: {error!r}", talk)
    finally:
        if talk.end is End.RESET:
            sock: socket.socket = writer.get_extra_info("socket")
            with suppress(OSError):  # it is gone already
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        writer.transport.abort()


async def _write(writer: asyncio.StreamWriter, pieces: list[bytes]) -> None:
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    status, length = _STATUS.match(head), _LENGTH.search(head)
    if status is None or length is None:
        return 0, head
    return int(status[1]), await reader.readexactly(int(length[1]))


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the server closes, also if it does so rudely."""
    pieces = []
    try:
        while piece := await reader.read(_PIECE):
            pieces.append(piece)
    except ConnectionError:
        pass
    return b"".join(pieces)


def _statuses(data: bytes) -> list[int]:
    return [int(status) for status in _STATUS.findall(data)]


def _afterwards(server: Server, speaker: Speaker, seed: int) -> Iterator[str]:
    """Yield what is wrong with the server after all that."""
    run = _Run(server, 0, lambda _count, _text: None)
    dice = random.Random(f"{seed}:afterwards")
    for _ in range(50):
        talk = Conversation((speaker.good(dice),), b"", (), End.CLOSE)
        asyncio.run(_hold(run, talk))
    yield from (f"afterwards: {finding.what}" for finding in run.findings)
    yield from (f"the log says: {line}" for line in server.faults()[:MOST_FINDINGS])
    if wrong := speaker.afterwards(server):
        yield wrong
