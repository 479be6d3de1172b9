"""The spool: lines on their way to another process, in files that outlive this one.

A line is in the file before `append` returns, so it survives the end of the process, however sudden
(not that of the machine: nothing is flushed to the disk). Who starts next in the same folder takes
over the files that nobody holds and sends them from their beginning: whoever reads them must know
what it has read already.

Files are segments of bounded size. A segment that is read to its end is deleted; when all together
are larger than the limit, the oldest goes unread.
"""

import fcntl
import os
import secrets
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SEGMENT_BYTES = 4 * 1024 * 1024
# A segment that has been read so far is not worth keeping for what may still come.
_SMALL_BYTES = 256 * 1024
_SUFFIX = ".lines"


@dataclass(slots=True)
class _Segment:
    """A file that this process holds the lock of."""

    path: Path
    file: int
    size: int = 0
    read: int = 0
    # Lines that have not been read.
    lines: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines that were read and wait to be acknowledged, without their line ends."""

    lines: list[bytes]
    segment: _Segment
    end: int


class Spool:
    """Lines in files; any thread may append, one reads.

    Parameters
    ----------
    folder
        Made when it is first needed.
    limit
        Bytes that all segments may have together.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        self._boot = secrets.token_hex(4)
        self._made = 0
        self._current: _Segment | None = None
        self.dropped = 0
        self._segments = deque(self._left_behind())

    @property
    def waiting(self) -> int:
        """Lines that have not been acknowledged."""
        return sum(segment.lines for segment in list(self._segments))

    def append(self, data: bytes, lines: int) -> None:
        """Add so many whole lines. Raises OSError if they cannot be written."""
        with self._lock:
            segment = self._current
            if segment is None or segment.size + len(data) > SEGMENT_BYTES:
                segment = self._current = self._new()
            try:
                written = os.write(segment.file, data)
                if written != len(data):
                    raise OSError("the disk is full")
            except OSError:
                os.ftruncate(segment.file, segment.size)
                raise
            segment.size += len(data)
            segment.lines += lines
            self._shrink()

    def read(self, size: int) -> Batch | None:
        """Return the next lines, some `size` bytes of them; None if all are acknowledged.

        Without `acknowledge` the same lines come again.
        """
        with self._lock:
            while self._segments and self._segments[0].read >= self._segments[0].size:
                if self._segments[0] is self._current:
                    if self._current.size < _SMALL_BYTES:
                        return None
                    self._current = None
                self._delete(self._segments.popleft())
            if not self._segments:
                return None
            segment = self._segments[0]
            count = min(size, segment.size - segment.read)
            data = os.pread(segment.file, count, segment.read)
            end = data.rfind(b"\n") + 1
            if end == 0:  # one line that is larger
                data = os.pread(segment.file, segment.size - segment.read, segment.read)
                end = data.find(b"\n") + 1
            return Batch(data[:end].splitlines(), segment, segment.read + end)

    def acknowledge(self, batch: Batch) -> None:
        """Forget the lines of a batch."""
        with self._lock:
            batch.segment.read = batch.end
            batch.segment.lines -= len(batch.lines)

    def close(self) -> None:
        """Let go of all files; what is not acknowledged stays in them."""
        with self._lock:
            for segment in self._segments:
                if segment.read >= segment.size:
                    segment.path.unlink(missing_ok=True)
                os.close(segment.file)
            self._segments.clear()
            self._current = None

    def _new(self) -> _Segment:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._made += 1
        path = self._folder / f"{self._boot}-{self._made}{_SUFFIX}"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        segment = _Segment(path, file)
        self._segments.append(segment)
        return segment

    def _left_behind(self) -> list[_Segment]:
        """Take over the segments of processes that have ended, the oldest first."""
        found = []
        for path in self._folder.glob(f"*{_SUFFIX}"):
            with suppress(OSError):  # gone meanwhile
                found.append((path.stat().st_mtime_ns, path))
        segments = []
        for _, path in sorted(found):
            try:
                file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # its process is alive
                os.close(file)
                continue
            data = os.pread(file, os.fstat(file).st_size, 0)
            # Its process may have been killed in the middle of a line, before it answered.
            size = data.rfind(b"\n") + 1
            segments.append(_Segment(path, file, size, lines=data.count(b"\n")))
        return segments

    def _shrink(self) -> None:
        total = sum(segment.size - segment.read for segment in self._segments)
        while total > self._limit and self._segments[0] is not self._current:
            oldest = self._segments.popleft()
            total -= oldest.size - oldest.read
            self.dropped += oldest.lines
            # Lines of it that are being sent count as dropped although they may arrive.
            oldest.lines = 0
            self._delete(oldest)

    def _delete(self, segment: _Segment) -> None:
        segment.path.unlink(missing_ok=True)
        os.close(segment.file)
