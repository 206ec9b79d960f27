"""The private folder in which the child OPA and its bundles live."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_FOLDER_PREFIX: Final = "opa-authz-"
_LOCK_NAME: Final = "plugin.lock"


def open_runtime_folder() -> tuple[Path, int]:
    """Make a private folder and lock it; return it and the file descriptor of the lock.

    Folders of plugins that were killed are removed: nobody holds their locks. The folder is below
    /run for root, else below ``XDG_RUNTIME_DIR`` or ~/.cache/opa-authz.
    """
    home = Path("/run")
    if os.geteuid() != 0:
        home = Path(os.environ.get("XDG_RUNTIME_DIR") or Path.home() / ".cache/opa-authz")
    home.mkdir(parents=True, exist_ok=True)
    for lock_file in home.glob(f"{_FOLDER_PREFIX}*/{_LOCK_NAME}"):
        with contextlib.suppress(OSError):
            os.close(_lock(lock_file))
            shutil.rmtree(lock_file.parent)
    folder = Path(tempfile.mkdtemp(prefix=f".{_FOLDER_PREFIX}", dir=home))
    (folder / _LOCK_NAME).touch()
    lock = _lock(folder / _LOCK_NAME)
    return folder.rename(home / folder.name.removeprefix(".")), lock


def _lock(file: Path) -> int:
    """Lock a file until this process ends; raises ``OSError`` if another process has it."""
    lock = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock
