"""A clean Debian, made of Debian's packages, with systemd running in it as its first process.

The tree lies in the cache; each run has a copy. systemd runs in namespaces of its own, without
network but for its loopback interface, in a cgroup (version 2) of its own. /sys and /proc/sys are
read-only, and the devices are nodes of its own, because systemd changes the owner and mode of its
console: it changes nothing of this machine.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.harness.engines import CACHE, KEYRING, make_once, unpack
from tests.harness.plugin import wait_for

_INCLUDE: Final = "python3,procps,systemd-sysv,groff-base"
_START: Final = """\
set -e
t=$1
mount --bind $t $t
mount -t proc proc $t/proc
mount --bind $t/proc/sys $t/proc/sys
mount -o remount,bind,ro $t/proc/sys
mount -t sysfs -o ro sysfs $t/sys
mount -t tmpfs -o mode=755 tmpfs $t/sys/fs
mkdir $t/sys/fs/cgroup
mount -t cgroup2 cgroup2 $t/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs $t/run
mount -t tmpfs tmpfs $t/tmp
mount -t tmpfs -o mode=755 tmpfs $t/dev
make_node() {
	mknod -m 666 $t/dev/$1 c $2 $3
}
make_node null 1 3
make_node zero 1 5
make_node full 1 7
make_node random 1 8
make_node urandom 1 9
make_node tty 5 0
make_node console 1 3
mkdir $t/dev/shm $t/dev/pts
ln -s /proc/self/fd $t/dev/fd
ln -s pts/ptmx $t/dev/ptmx
cd $t
pivot_root . mnt
umount --lazy /mnt
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
"""


def tree(suite: str, name: str = "debian", include: str = _INCLUDE) -> Path:
    """An archive of a minimal Debian with some packages, by default Python and systemd, made unless
    it is there under this name."""
    folder = CACHE / f"{name}-{suite}"
    tools = CACHE / "mmdebstrap"
    unpack("bookworm", ("mmdebstrap",), tools)
    source = f"deb [signed-by={KEYRING}] http://deb.debian.org/debian {suite} main"

    def make(partial: Path) -> None:
        command: list[str | Path] = [
            "perl",
            tools / "usr/bin/mmdebstrap",
            "--mode=root",
            "--variant=minbase",
        ]
        options: list[str | Path] = [
            "--quiet",
            f"--include={include}",
            suite,
            partial / "tree.tar",
            source,
        ]
        subprocess.run([*command, *options], check=True)

    make_once(folder, make)
    return folder / "tree.tar"


class Debian:
    """A running Debian; ``folder`` is its file system."""

    def __init__(self, folder: Path, first: int) -> None:
        self.folder = folder
        self.first = first

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program inside, with its output and errors as one text."""
        enter = ["nsenter", f"--target={self.first}", "--all"]
        clean = [
            "env",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "DEBIAN_FRONTEND=noninteractive",
        ]
        return subprocess.run(
            [*enter, *clean, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=180,
        )

    def must(self, *command: str) -> str:
        """The output of a program that must succeed."""
        done = self.run(*command)
        assert done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout.strip()

    def is_running(self) -> bool:
        """Whether systemd has started everything that it starts by itself."""
        state = self.run("systemctl", "is-system-running").stdout.strip()
        return state in {"running", "degraded"}


@contextmanager
def running_debian(suite: str, folder: Path) -> Iterator[Debian]:
    """Start a copy of a Debian in a folder, and end every process of it afterwards.

    Raises ``AssertionError`` if that changed the devices of this machine.
    """
    with _devices_unchanged(), _started(suite, folder) as debian:
        yield debian


@contextmanager
def _devices_unchanged() -> Iterator[None]:
    before = _devices()
    assert before["null"] == "crw-rw-rw- 0 0", f"/dev/null of this machine is {before['null']}"
    yield
    assert _devices() == before, "the devices of this machine were changed: mend them by hand"


def _devices() -> dict[str, str]:
    """Mode, owner and group of the devices that every program uses."""
    devices = {name: Path("/dev", name).stat() for name in ("null", "zero", "full", "urandom")}
    return {
        name: f"{stat.filemode(found.st_mode)} {found.st_uid} {found.st_gid}"
        for name, found in devices.items()
    }


@contextmanager
def _started(suite: str, folder: Path) -> Iterator[Debian]:
    subprocess.run(["tar", "-xf", tree(suite), "-C", folder, "--exclude=./dev/*"], check=True)
    (folder / "etc/dpkg/dpkg.cfg.d/fast").write_text("force-unsafe-io\n")
    cgroups = Path("/sys/fs/cgroup")
    unified = cgroups / "unified" if (cgroups / "unified").is_dir() else cgroups
    group = unified / f"opa-authz-{os.getpid()}"
    group.mkdir()
    namespaces = ["--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup"]
    command = ["unshare", *namespaces, "--fork", "--kill-child", "--propagation=private"]
    join = f'echo $$ > {group}/cgroup.procs; exec "$@"'
    starter = subprocess.Popen(
        ["sh", "-c", join, "sh", *command, "sh", "-c", _START, "sh", folder],
        stdin=subprocess.DEVNULL,
    )
    try:
        children = Path(f"/proc/{starter.pid}/task/{starter.pid}/children")
        wait_for(lambda: children.read_text().strip() != "", "the first process", 10)
        first = int(children.read_text())
        comm = Path(f"/proc/{first}/comm")
        wait_for(lambda: comm.read_text().strip() == "systemd", "systemd", 10)
        debian = Debian(folder, first)
        wait_for(debian.is_running, "Debian to start", 60)
        yield debian
    finally:
        starter.send_signal(signal.SIGKILL)  # and with it, by --kill-child, everything inside
        starter.wait(20)
        left = sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True)
        for part in (*left, group):
            wait_for(lambda part=part: _removed(part), f"{part} to be empty", 10)


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return not group.exists()
    return True
