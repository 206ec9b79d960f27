"""The process of gunicorn, as a child of the supervisor."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable
from typing import Final, NoReturn

from authz_plugin.errors import SetupError

_STOP_LIMIT: Final = 15.0


class GunicornProcess:
    """The gunicorn process, a child of the supervisor."""

    def __init__(self, serve_plugin: Callable[[int], NoReturn]) -> None:
        """Fork the process and run ``serve_plugin`` in it, which must not return.

        ``serve_plugin`` is called with a file descriptor, to which it must write a byte as soon as
        it answers requests.
        """
        read_end, write_end = os.pipe()
        gc.freeze()  # the collector writes to the objects that it visits, which copies their pages
        self._pid = os.fork()
        if self._pid == 0:
            os.close(read_end)
            serve_plugin(write_end)
        os.close(write_end)
        self._serving = read_end
        self._ended = False

    def wait_until_serving(self) -> None:
        with open(self._serving, "rb") as serving:  # noqa: PTH123 - a file descriptor
            if not serving.read(1):
                self._ended = True
                os.waitpid(self._pid, 0)
                raise SetupError("the server ended at its start")

    def check(self) -> None:
        if not self._ended and os.waitpid(self._pid, os.WNOHANG)[0] == self._pid:
            self._ended = True
            raise SetupError("the server ended")

    def stop(self) -> None:
        if self._ended:
            return
        os.kill(self._pid, signal.SIGTERM)
        end = time.monotonic() + _STOP_LIMIT
        while os.waitpid(self._pid, os.WNOHANG)[0] != self._pid:
            if time.monotonic() > end:
                os.kill(self._pid, signal.SIGKILL)
            time.sleep(0.02)
        self._ended = True
