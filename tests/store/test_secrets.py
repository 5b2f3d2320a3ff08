"""Stored secrets are encrypted."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from hookyard.core.errors import PermanentError
from hookyard.store.secrets import KEY_FILE, SecretBox


@pytest.mark.parametrize("key", ["a long passphrase of somebody", "dGhpcnR5LXR3byBieXRlcyBmb3IgdGhpcyB0ZXN0ISE="])
def test_there_and_back(key: str, tmp_path: Path) -> None:
    box = SecretBox.open(key, tmp_path)
    sealed = box.seal("geheim 密码")
    assert b"geheim" not in sealed
    assert SecretBox(key).unseal(sealed) == "geheim 密码"
    assert not (tmp_path / KEY_FILE).exists()
    assert key not in repr(box)


def test_the_key_file_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    sealed = SecretBox.open(None, directory).seal("x")
    assert SecretBox.open(None, directory).unseal(sealed) == "x"
    assert (directory / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [p.name for p in directory.iterdir()] == [KEY_FILE]


def test_servers_that_start_at_once_share_a_key(tmp_path: Path) -> None:
    """In one process, as their process ids are the same where each has a container of its own."""
    together = Barrier(6, timeout=60)

    def start(number: int) -> bytes:
        together.wait()
        return SecretBox.open(None, tmp_path / "data").seal(str(number))

    with ThreadPoolExecutor(6) as servers:
        sealed = list(servers.map(start, range(6)))
    box = SecretBox.open(None, tmp_path / "data")
    assert [box.unseal(one) for one in sealed] == [str(number) for number in range(6)]
    assert [p.name for p in (tmp_path / "data").iterdir()] == [KEY_FILE]


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    SecretBox.open(None, tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(PermanentError, match="others can read") as refused:
        SecretBox.open(None, tmp_path)
    assert "chmod 600" in str(refused.value)


def test_a_new_key_in_front_still_reads_the_old(tmp_path: Path) -> None:
    sealed = SecretBox("old").seal("x")
    box = SecretBox.open("new,old", tmp_path)
    assert box.unseal(sealed) == "x"
    assert SecretBox("new").unseal(box.seal("y")) == "y"


def another_letter(sealed: bytes) -> bytes:
    return sealed[:20] + (b"y" if sealed[20:21] == b"x" else b"x") + sealed[21:]


@pytest.mark.parametrize("spoil", [lambda s: s[:-1], lambda s: b"", another_letter])
def test_what_was_changed_or_has_another_key_is_refused(spoil: "object") -> None:
    sealed = SecretBox("one").seal("x")
    assert callable(spoil)
    with pytest.raises(PermanentError):
        SecretBox("one").unseal(spoil(sealed))
    with pytest.raises(PermanentError, match="HOOKYARD_SECRET_KEY"):
        SecretBox("two").unseal(sealed)


def test_no_key() -> None:
    with pytest.raises(PermanentError):
        SecretBox()
    with pytest.raises(PermanentError):
        SecretBox(" ")
