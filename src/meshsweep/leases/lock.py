"""Hold a kernel lock on a file that any user of the host may have made."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from meshsweep.errors import InfraError
from meshsweep.leases.holder import NOTE_BYTES, Holder

__all__ = ["Lock", "attempt", "create", "holder", "is_held"]

#: Never follows a link that another user has put there, never waits for the other end of a pipe.
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Lock:
    """A held lock; the kernel frees it when the process dies.

    Where it is ``private``, a forked child does not hold it too.
    """

    __slots__ = ("__weakref__", "_file", "_private", "name")

    def __init__(self, name: str, file: int, *, private: bool) -> None:
        self.name = name
        self._file = file
        self._private = private
        if private:
            _private.add(self)

    def fileno(self) -> int:
        """Return the open file: a process that inherits it holds the lock as well."""
        return self._file

    def write(self, note: bytes) -> None:
        """Leave word of who holds it; a full disk is no reason not to."""
        with suppress(OSError):
            os.pwrite(self._file, note, 0)

    def close(self) -> None:
        """Let go of it."""
        if self._file >= 0 and self._private:
            # Whoever has the file open too, such as a child that has just been forked.
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self.forget()

    def forget(self) -> None:
        """Close the file, as the kernel does with those of a dead process."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


_private: WeakSet[Lock] = WeakSet()


def _close_private() -> None:
    # A lock belongs to the open file, which a child shares: it would outlive the parent in it.
    for lock in list(_private):
        lock.forget()


os.register_at_fork(after_in_child=_close_private)


def attempt(directory: Path, name: str, *, private: bool = True) -> Lock | None:
    """Take a lock, or return None where another process has it; raises InfraError where there can be no file."""
    path = directory / name
    try:
        while True:
            file = _open(path)
            if not _flock(file, fcntl.LOCK_EX):
                os.close(file)
                return None
            if _is_at(file, path):
                return Lock(name, file, private=private)
            # Deleted between opening and locking: the next one would lock another file of that name.
            os.close(file)
    except OSError as error:
        raise _refused(path, error) from error


def create(directory: Path, name: str, holder: Holder) -> Lock:
    """Make a file of a new name that is locked from the moment it can be seen."""
    path = directory / name
    part = _part(path)
    try:
        lock = Lock(name, os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o644), private=True)
        # Who cannot read it cannot see whether it is locked.
        os.fchmod(lock.fileno(), 0o644)
        _flock(lock.fileno(), fcntl.LOCK_EX)
        lock.write(holder.to_note())
        part.rename(path)
    except OSError as error:
        raise _refused(path, error) from error
    return lock


def is_held(directory: Path, name: str) -> bool:
    """Say whether some process has a lock; one that cannot be looked at has nobody."""
    path = directory / name
    try:
        file = os.open(path, os.O_RDONLY | _FLAGS)
    except (FileNotFoundError, PermissionError):
        return False
    except OSError as error:
        raise _refused(path, error) from error
    try:
        return not _flock(file, fcntl.LOCK_SH)
    finally:
        os.close(file)


def holder(directory: Path, name: str) -> Holder | None:
    """Return what the last holder of a lock has left word of."""
    try:
        file = os.open(directory / name, os.O_RDONLY | _FLAGS)
    except OSError:
        return None
    try:
        return Holder.from_note(os.read(file, NOTE_BYTES))
    except OSError:
        return None
    finally:
        os.close(file)


def _open(path: Path) -> int:
    """Return a lock file, made if need be."""
    while True:
        try:
            # Without O_CREAT: with it, some kernels refuse another user's file in a sticky directory.
            file = os.open(path, os.O_RDWR | _FLAGS)
        except FileNotFoundError:
            _make(path)
        else:
            if stat.S_ISREG(os.fstat(file).st_mode):
                return file
            os.close(file)
            raise OSError(errno.EINVAL, "it is no file")


def _make(path: Path) -> None:
    part = _part(path)
    file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666)
    try:
        # Whatever the umask, all users lock the same file.
        os.fchmod(file, 0o666)
        # Unlike rename, never in the place of a file that somebody has just locked.
        with suppress(FileExistsError):
            os.link(part, path)
    finally:
        os.close(file)
        part.unlink()


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _flock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _refused(path: Path, error: OSError) -> InfraError:
    if error.errno == errno.ELOOP:
        return InfraError(f"{path}: cannot lock: it is a symbolic link, which no lease is; remove it")
    return InfraError(f"{path}: cannot lock: {error.strerror}; free or open the place, or set MESHSWEEP_LEASES")
