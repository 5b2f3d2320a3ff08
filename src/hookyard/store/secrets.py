"""Encryption at rest of stored secrets: webhook configurations, sources' secrets, models' keys.

Called by every module that stores one. The key is `HOOKYARD_SECRET_KEY` or a file of the data folder that only its
owner can read; a database that is copied without it gives nothing away.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from hookyard.core.errors import PermanentError

KEY_FILE = "secret.key"
"""Name of the key file in the data folder."""


class SecretBox:
    """Encrypts and decrypts.

    Args:
        keys: The first encrypts, all decrypt: put a new one in front to change keys. Any texts; a key of Fernet's own
            form is used as it is, another text is hashed, so it must be long and random.

    Raises:
        PermanentError: No key.
    """

    def __init__(self, *keys: str) -> None:
        if not keys or not all(key.strip() for key in keys):
            raise PermanentError("there is no key for stored secrets", hint="set HOOKYARD_SECRET_KEY")
        self._fernet = MultiFernet([_fernet(key.strip()) for key in keys])

    @classmethod
    def open(cls, secret_key: str | None, data: Path) -> SecretBox:
        """Open the box with the keys of the settings: `HOOKYARD_SECRET_KEY` (several, separated by commas: the first is
        the new one), else the key file, which is created on the first start.

        Raises:
            PermanentError: The key file cannot be read or made, or others can read it.
        """
        if secret_key:
            return cls(*(part for part in secret_key.split(",") if part.strip()))
        return cls(_key_of(data / KEY_FILE))

    def seal(self, secret: str) -> bytes:
        """Encrypt a text."""
        return self._fernet.encrypt(secret.encode("utf-8"))

    def unseal(self, sealed: bytes) -> str:
        """Decrypt what `seal` made.

        Raises:
            PermanentError: It was made with another key, or was changed.
        """
        try:
            return self._fernet.decrypt(bytes(sealed)).decode("utf-8")
        except InvalidToken:
            raise PermanentError(
                "a stored secret cannot be decrypted",
                hint="give the key that it was stored with, HOOKYARD_SECRET_KEY or the data folder's secret.key, "
                "or store the secret again",
            ) from None


def _fernet(key: str) -> Fernet:
    try:
        return Fernet(key)
    except ValueError:
        return Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode("utf-8")).digest()))


def _key_of(path: Path) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Written elsewhere and linked into place: of two servers that start at once both use the one that was first,
        # and neither ever reads half a key. The name elsewhere is random: in containers every server has the same
        # process id, also the one that was killed here.
        if not path.exists():
            descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(Fernet.generate_key())
                    file.flush()
                    os.fsync(file.fileno())
                with contextlib.suppress(FileExistsError):
                    os.link(fresh, path)
            finally:
                Path(fresh).unlink()
        if path.stat().st_mode & 0o077:
            raise PermanentError("others can read the key file", where=str(path), hint=f"chmod 600 {path}")
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentError(
            f"the key file cannot be used: {error}", where=str(path), hint="give a data folder that can be written"
        ) from error
