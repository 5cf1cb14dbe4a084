"""A socket beside execnet's pipes, for the two lines per test: which to run, and that it passed.

execnet reads in a thread and packs in Python: two messages cost more than the rest of a trivial test. A named pipe
per worker holds the test that it is offered: whoever reads it first, worker or controller, has it.
"""

from __future__ import annotations

import os
import selectors
import shutil
import socket
import struct
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from itertools import chain
from pathlib import Path

__all__ = ["Exchange", "Wire"]

_CHUNK_BYTES = 65_536
_PREFIX, _SOCKET = "meshsweep-", "wire"
_FOLDER_BYTES = 94
#: Where sockets are made whose path would be too long elsewhere.
_SHORT = "/tmp"  # noqa: S108 - in a folder of its own that nobody else may open
#: An offered test: one read takes it whole.
_INDEX = struct.Struct("=i")


class Wire:
    """The worker's end: indexes of tests come in, lines go out."""

    def __init__(self, address: str, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(address)
        self._received = b""
        self._offers = _open(_offers(Path(address).parent, name), os.O_RDONLY)
        self._is_stopped = False
        self.send(name)

    def receive(self) -> int | None:
        """Wait for the index of the next test; None when there is none any more."""
        while b"\n" not in self._received:
            try:
                data = self._socket.recv(_CHUNK_BYTES)
            except ConnectionError:
                data = b""
            if not data:
                return None
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return int(line)

    def take(self) -> int | None:
        """Take the test that is offered; None where there is none, or where it was taken back."""
        return None if self._is_stopped else _take(self._offers)

    def send(self, text: str) -> None:
        """Send one line."""
        self._socket.sendall(text.encode() + b"\n")

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
        self._offers.close()

    def stop(self) -> None:
        """Have ``receive`` return, in whatever thread it waits, and take no more."""
        self._is_stopped = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)


class Exchange:
    """The controller's end: one connection per worker, all waited for at once; ``wake`` may be called by any thread."""

    def __init__(self) -> None:
        _tidy_up()
        # Nobody else may open it: a line from a stranger would be taken for a result.
        self._folder = _folder()
        self.address = str(self._folder / _SOCKET)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{self.address}.new")
        self._listener.listen(64)
        # Where there is a socket of that name, somebody listens, or has been killed.
        Path(f"{self.address}.new").rename(self.address)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._sockets: dict[str, socket.socket] = {}
        self._offers: dict[str, FileIO] = {}
        self._partial: dict[socket.socket, bytes] = {}
        self._names: dict[socket.socket, str] = {}
        self._seen: set[str] = set()
        self._lines: deque[tuple[str, str]] = deque()

    def expect(self, worker: str) -> None:
        """Make ready for a worker that is about to start."""
        path = _offers(self._folder, worker)
        os.mkfifo(path, 0o600)
        # Open at both ends, so that neither opening it nor reading from it ever waits for the worker.
        self._offers[worker] = _open(path, os.O_RDWR)

    def offer(self, worker: str, index: int) -> None:
        """Offer a worker a test, which it takes if the one in flight passes; there is one offer at a time."""
        self._offers[worker].write(_INDEX.pack(index))

    def withdraw(self, worker: str) -> None:
        """Take back what a worker was offered and has not taken."""
        _take(self._offers[worker])

    def forget(self, worker: str) -> None:
        """Let go of a worker that has ended; what it has sent by now is kept."""
        self._offers.pop(worker).close()
        _offers(self._folder, worker).unlink(missing_ok=True)

    def send(self, worker: str, index: int) -> None:
        """Send a worker its next test; one that has died by now is left be."""
        # It has connected before it told of itself in any other way.
        while worker not in self._seen:
            self._pump(None)
        # execnet tells of a death too, and why.
        with suppress(OSError, KeyError):
            self._sockets[worker].sendall(b"%d\n" % index)

    def wake(self) -> None:
        """End a wait."""
        try:
            os.write(self._waker, b".")
        except BlockingIOError:
            # It is full of calls already.
            return

    def wait(self, timeout_s: float) -> Iterator[tuple[str, str]]:
        """Yield what workers have sent, by worker; waits for at most ``timeout_s`` where there is nothing."""
        self._pump(0 if self._lines else timeout_s)
        while self._lines:
            yield self._lines.popleft()

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self._partial):
            self._drop(connection)
        for offers in self._offers.values():
            offers.close()
        self._selector.close()
        self._listener.close()
        os.close(self._woken)
        os.close(self._waker)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _pump(self, timeout_s: float | None) -> None:
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj == self._woken:
                os.read(self._woken, _CHUNK_BYTES)
            else:
                assert isinstance(key.fileobj, socket.socket)
                self._read(key.fileobj)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self._partial[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket) -> None:
        data, has_ended = _drain(connection)
        *lines, self._partial[connection] = (self._partial[connection] + data).split(b"\n")
        for line in lines:
            if connection in self._names:
                self._lines.append((self._names[connection], line.decode()))
            else:
                self._names[connection] = line.decode()
                self._sockets[line.decode()] = connection
                self._seen.add(line.decode())
        if has_ended:
            self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._partial[connection]
        self._sockets.pop(self._names.pop(connection, ""), None)
        connection.close()


def _drain(connection: socket.socket) -> tuple[bytes, bool]:
    """Return all that has been sent by now, and whether that is all there will be."""
    data = b""
    while True:
        try:
            part = connection.recv(_CHUNK_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return data, False
        except OSError:
            return data, True
        data += part
        # A short read has taken all there was; that it has ended is seen by the next.
        if len(part) < _CHUNK_BYTES:
            return data, not part


def _folder() -> Path:
    """Return a new folder whose path leaves room for a socket's: 108 bytes on Linux, 104 on macOS."""
    folder = tempfile.mkdtemp(prefix=_PREFIX)
    if len(os.fsencode(folder)) > _FOLDER_BYTES:
        Path(folder).rmdir()
        folder = tempfile.mkdtemp(prefix=_PREFIX, dir=_SHORT)
    return Path(folder)


def _offers(folder: Path, worker: str) -> Path:
    return folder / f"{worker}.next"


def _open(path: Path, mode: int) -> FileIO:
    descriptor = os.open(path, mode | os.O_NONBLOCK)
    return FileIO(descriptor, "r+" if mode == os.O_RDWR else "r")


def _take(offers: FileIO) -> int | None:
    # None where nothing is offered, nothing at all where there is no controller any more.
    data = offers.read(_INDEX.size)
    return _INDEX.unpack(data)[0] if data else None


def _places() -> set[str]:
    return {tempfile.gettempdir(), _SHORT}


def _tidy_up() -> None:
    """Remove what killed controllers of this user have left behind."""
    for path in chain.from_iterable(Path(place).glob(f"{_PREFIX}*/{_SOCKET}") for place in _places()):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as caller:
            caller.setblocking(False)
            try:
                caller.connect(str(path))
            except ConnectionRefusedError:
                shutil.rmtree(path.parent, ignore_errors=True)
