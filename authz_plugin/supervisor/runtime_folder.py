"""The private folder of a running plugin, and the folders of policies in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from authz_plugin.errors import SetupError
from authz_plugin.hostpaths import RUNTIME_PREFIX, runtime_home

_LOCK_NAME: Final = "plugin.lock"


def open_runtime_folder() -> tuple[Path, int]:
    """Create a private folder and lock it; return its path and the file descriptor of the lock.

    Folders whose lock is free are removed: their plugins were killed. The folder is created in /run
    for root, else in ``XDG_RUNTIME_DIR`` or ~/.cache/opa-authz.
    """
    home = runtime_home(os.environ, root=os.geteuid() == 0)
    home.mkdir(parents=True, exist_ok=True)
    for lock_file in home.glob(f"{RUNTIME_PREFIX}*/{_LOCK_NAME}"):
        with contextlib.suppress(OSError):
            os.close(_lock(lock_file))
            shutil.rmtree(lock_file.parent)
    folder = Path(tempfile.mkdtemp(prefix=f".{RUNTIME_PREFIX}", dir=home))
    (folder / _LOCK_NAME).touch()
    lock = _lock(folder / _LOCK_NAME)
    return folder.rename(home / folder.name.removeprefix(".")), lock


@contextlib.contextmanager
def policy_folder(folder: Path, is_in_force: Callable[[Path], bool]) -> Iterator[Path]:
    """Create the folder of a policy. If the block raises an exception, the folder is removed unless
    its policy is in force by then.

    Raises ``SetupError`` for an ``OSError``.
    """
    try:
        folder.mkdir()
        yield folder
    except Exception as error:
        if not is_in_force(folder):
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise SetupError(f"the policy cannot be laid out: {error}") from error
        raise


def _lock(file: Path) -> int:
    """Lock a file until this process ends; raises ``OSError`` if another process has it."""
    lock = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock
