"""File locks and atomic writes, between real processes where that is the point."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hookyard.core.files import FileLock, is_locked, locked, write_atomically

_HOLDER = """
import sys, time
from pathlib import Path
from hookyard.core.files import FileLock
lock = FileLock(Path(sys.argv[1]))
assert lock.acquire()
lock.write("holder")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_excludes_other_processes_until_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_locked(path)
        assert path.read_text() == "holder"
        assert not FileLock(path).acquire()
        with pytest.raises(TimeoutError, match="stayed locked"), locked(path, 0.05):
            pass
        holder.kill()
        holder.wait()
        assert not is_locked(path)
        with locked(path, 0.0):
            assert is_locked(path)


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire()
    assert not second.acquire()
    waiting = threading.Thread(target=second.acquire, args=(30,))
    waiting.start()
    first.release()
    waiting.join(30)
    assert is_locked(tmp_path / "lock")
    second.release()
    assert first.acquire()
    first.release()


def test_a_write_keeps_the_mode_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    write_atomically(path, "one")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    write_atomically(path, b"two")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o644)
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "half \ud83d")
    directory = tmp_path / "directory"
    directory.mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(directory, "x")
    assert path.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [directory, path]
