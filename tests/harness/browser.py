"""Debian's Chromium without a window, in a file system of its own, driven by Playwright.

It shares the machine's loopback interface and nothing else: it sees none of the machine's files.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, sync_playwright

from tests.harness.debian import tree
from tests.harness.engines import CACHE, make_once, node_packages
from tests.harness.plugin import wait_for

_SUITE: Final = "bookworm"
_PACKAGES: Final = "chromium-headless-shell,fonts-dejavu-core"
_AXE: Final = Path(__file__).parent / "axe"
_LISTENS: Final = re.compile(r"DevTools listening on (ws://\S+)")
_START: Final = """\
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/tmp"
exec chroot "$@"
"""
_PROGRAM: Final = (
    "/usr/lib/chromium/chromium-headless-shell",
    "--no-sandbox",  # it runs as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--user-data-dir=/tmp/profile",
    "--remote-debugging-port=0",
)


@contextmanager
def running_browser(folder: Path) -> Iterator[Browser]:
    """A browser; ``folder`` gets its log. Needs root."""
    log = folder / "chromium.log"
    system = _system()
    isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*isolated, "sh", "-e", "-c", _START, "sh", system, *_PROGRAM],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: _LISTENS.search(log.read_text()) is not None, "Chromium", 30)
        address = _LISTENS.search(log.read_text())
        assert address is not None
        with sync_playwright() as playwright:
            browser = playwright.chromium.connect_over_cdp(address[1])
            yield browser
            browser.close()
    finally:
        process.kill()
        process.wait()


def accessibility_faults(page: Page) -> list[str]:
    """What axe-core finds serious or critical in a page: rule, help and places."""
    if not page.evaluate("'axe' in window"):
        page.evaluate((node_packages(_AXE) / "node_modules/axe-core/axe.min.js").read_text())
    # Its other reporters also describe each element that passes, which takes much longer.
    found: dict[str, list[dict[str, Any]]] = page.evaluate("axe.run({reporter: 'no-passes'})")
    return [
        f"{fault['id']}: {fault['help']}: {[node['target'] for node in fault['nodes']]}"
        for fault in found["violations"]
        if fault["impact"] in {"serious", "critical"}
    ]


def _system() -> Path:
    """The folder with Debian's Chromium and what it needs."""
    archive = tree(_SUITE, "chromium", _PACKAGES)
    folder = CACHE / f"chromium-{_SUITE}-system"

    def extract(partial: Path) -> None:
        subprocess.run(["tar", "-xf", archive, "-C", partial], check=True)

    make_once(folder, extract)
    return folder
