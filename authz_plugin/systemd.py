"""Notifications to systemd: ready, alive, stopping (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Send a state to systemd if it started this process.

    ``state`` is ``READY=1``, ``WATCHDOG=1`` or ``STOPPING=1``.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        contextlib.suppress(OSError),
    ):
        manager.sendto(state.encode(), address)
