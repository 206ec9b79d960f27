"""The store of decisions: Debian's PostgreSQL and syslog-ng, with the shipped files."""

from __future__ import annotations

import csv
import io
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from tests.harness.certificates import Authority
from tests.harness.engines import CACHE, make_once, unpack
from tests.harness.plugin import wait_for
from tests.harness.prometheus import free_port

SHIPPED: Final = Path(__file__).parents[2] / "deploy/store"
HOW_TO: Final = Path(__file__).parents[2] / "docs/how-to/store.md"

_ACCESS: Final = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""The lines of the how-to for ``pg_hba.conf`` and ``pg_ident.conf``: for collectors, then for the
web server."""

_SUITE: Final = "bookworm"
_PACKAGES: Final = (
    *("postgresql-15", "postgresql-client-15", "syslog-ng-core", "syslog-ng-mod-sql"),
    *("libdbd-pgsql", "libdbi1"),
    # What they are linked with, except what every Debian has.
    *("libcap2", "libglib2.0-0", "libivykis0", "libjson-c5", "libnet1", "libpcre3", "libwrap0"),
    *("libpq5", "libicu72", "libssl3", "libldap-2.5-0", "libsasl2-2", "libxml2", "libxslt1.1"),
    *("libreadline8", "libcap-ng0", "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3"),
    *("libkrb5support0", "libkeyutils1", "libcom-err2", "libgnutls30", "libnettle8"),
    *("libhogweed6", "libtasn1-6", "libp11-kit0", "libidn2-0", "libunistring2", "libgmp10"),
    *("libffi8", "libgcrypt20", "libgpg-error0"),
)
_NOBODY: Final = 65534
_AS_NOBODY: Final = [
    *("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"),
    *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
]
"""PostgreSQL does not run as root. It may still read what only root may, such as this checkout."""

_UNPRIVILEGED: Final = _AS_NOBODY if os.geteuid() == 0 else []


_WEB_USER: Final = 33
"""The user ``www-data`` of every Debian."""

_APACHE: Final = """\
ServerRoot {folder}
PidFile {folder}/httpd.pid
ErrorLog {folder}/error.log
ScriptSock {socket}/cgi
User www-data
Group www-data
{modules}
SetEnv PATH {programs}:/usr/bin:/bin
SetEnv LD_LIBRARY_PATH {libraries}
SetEnv PGHOST {socket}
SetEnv PGPORT {store_port}
Include {folder}/opa-authz-store.conf
"""
_MODULES: Final = ("mpm_event", "authz_core", "alias", "env", "cgid", "deflate", "ssl")


def _root() -> Path:
    folder = CACHE / "store"
    unpack(_SUITE, _PACKAGES, folder)
    return folder


def _environment() -> dict[str, str]:
    root, patched = _root(), CACHE / "store-libdbi"
    make_once(patched, lambda folder: _patch_libdbi(root, folder))
    libraries = sorted({str(library.parent) for library in root.glob("**/*.so*")})
    path = ":".join([str(patched), *libraries])
    return {**os.environ, "LD_LIBRARY_PATH": path, "TZ": "UTC", "LC_ALL": "C.UTF-8"}


def _patch_libdbi(root: Path, folder: Path) -> None:
    """Make a libdbi that looks for its drivers below its working directory, instead of ``/``."""
    library = next(root.glob("usr/lib/*/libdbi.so.1"))
    content, found = re.subn(rb"/(usr/lib/[\w-]+/dbd)\0", rb"\1\0\0", library.read_bytes())
    assert found == 1
    (folder / "libdbi.so.1").write_bytes(content)


class Store:
    """A running database with the shipped schema."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.port = free_port()
        self.authority = authority
        self.programs = _root() / "usr/lib/postgresql/15/bin"
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make the database, with ``pg_hba.conf`` and ``pg_ident.conf`` as the how-to has them."""
        data = self.folder / "data"
        self._run("initdb", f"--pgdata={data}", "--username=owner", "--no-sync", "--encoding=UTF8")
        texts = [block.group(1) for block in _ACCESS.finditer(HOW_TO.read_text())]
        hba, ident, web_hba, web_ident = texts
        (data / "pg_hba.conf").write_text(f"{hba}{web_hba}local all all trust\n")
        web_user = pwd.getpwuid(os.geteuid() or _WEB_USER).pw_name
        (data / "pg_ident.conf").write_text(ident + web_ident.replace("www-data", web_user))
        for name, part in zip(
            ("server.crt", "server.key"), self.authority.issue("store"), strict=True
        ):
            shutil.copy(part, data / name)
            (data / name).chmod(0o600)
            if _UNPRIVILEGED:
                os.chown(data / name, _NOBODY, _NOBODY)
        shutil.copy(self.authority.ca, data / "ca.pem")
        self.start()
        self.psql("CREATE DATABASE opa_authz", database="postgres")
        self.load_schema()

    def load_schema(self) -> None:
        self._psql("--file", SHIPPED / "schema.sql")

    def start(self) -> None:
        command = [
            *_UNPRIVILEGED,
            str(self.programs / "postgres"),
            *("-D", str(self.folder / "data"), "-k", str(self.folder)),
            *("-c", "listen_addresses=127.0.0.1", "-p", str(self.port), "-c", "ssl=on"),
            *("-c", f"ssl_ca_file={self.folder}/data/ca.pem"),
            *("-c", "fsync=off", "-c", "timezone=UTC"),
        ]
        with (self.folder / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=_environment(), stdout=log, stderr=log)
        wait_for(self._answers, "PostgreSQL", 30)

    def stop(self) -> None:
        """Stop it as systemd does, which waits for no client."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def psql(
        self, statement: str, *, user: str = "owner", database: str = "opa_authz"
    ) -> list[dict[str, str]]:
        """The rows of a statement; raises ``CalledProcessError`` with PostgreSQL's message."""
        return self._psql("--command", statement, user=user, database=database)

    def insert(self, host: str, claimed: str, line: str) -> None:
        """Insert a line with the certificate of a host, and the name that the host claims."""
        certificate, key = self.authority.issue(host)
        key.chmod(0o600)
        target = {
            "host": "127.0.0.1",
            "port": str(self.port),
            "dbname": "opa_authz",
            "user": "opa_authz_writer",
            "sslmode": "verify-full",
            "sslrootcert": str(self.authority.ca),
            "sslcert": str(certificate),
            "sslkey": str(key),
        }
        connection = " ".join(f"{name}={value}" for name, value in target.items())
        values = ["-v", f"claimed={claimed}", "-v", f"line={line}"]
        statement = "INSERT INTO inbox VALUES (:'claimed', :'line')"
        self._run("psql", connection, "-X", *values, "-v", "ON_ERROR_STOP=1", stdin=statement)

    def query(self, name: str, **variables: str) -> list[dict[str, str]]:
        """The rows of a shipped query, asked as an auditor."""
        values = [part for key, value in variables.items() for part in ("-v", f"{key}={value}")]
        return self._psql(
            *values, "--file", SHIPPED / f"queries/{name}.sql", user="opa_authz_auditor"
        )

    def _psql(
        self, *arguments: str | Path, user: str = "owner", database: str = "opa_authz"
    ) -> list[dict[str, str]]:
        options = ["--no-psqlrc", "--csv", "--quiet", "-v", "ON_ERROR_STOP=1", "-U", user]
        out = self._run(
            "psql",
            "-h",
            str(self.folder),
            "-p",
            str(self.port),
            "-d",
            database,
            *options,
            *arguments,
        )
        return list(csv.DictReader(io.StringIO(out)))

    def _answers(self) -> bool:
        try:
            self.psql("SELECT 1", database="postgres")
        except subprocess.CalledProcessError:
            return False
        return True

    def _run(self, program: str, *arguments: str | Path, stdin: str = "") -> str:
        command = [*_UNPRIVILEGED, str(self.programs / program), *map(str, arguments)]
        return subprocess.run(
            command,
            env=_environment(),
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout


@contextmanager
def running_store(authority: Authority) -> Iterator[Store]:
    """Run a database in a folder of its own, whose path is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="opa-authz-store-"))
    folder.chmod(0o755)  # The web server's user connects to the socket in it.
    if os.geteuid() == 0:
        os.chown(folder, _NOBODY, _NOBODY)
    store = Store(folder, authority)
    try:
        store.make()
        yield store
    finally:
        store.stop()
        shutil.rmtree(folder)


@contextmanager
def running_web_server(store: Store, folder: Path) -> Iterator[str]:
    """Run Debian's Apache with the shipped configuration in front of a database; its URL."""
    root, port = CACHE / "apache", free_port()
    unpack(_SUITE, ("apache2-bin", "libapr1", "libaprutil1"), root)
    certificate, key = store.authority.issue("web-server")
    program = store.folder / "take-upload"  # where the server's user may run it
    shutil.copy(SHIPPED / "take-upload", program)
    program.chmod(0o755)
    text = (SHIPPED / "apache.conf").read_text()
    for shipped, here in {
        "Listen 8443": f"Listen 127.0.0.1:{port}",
        "*:8443": f"127.0.0.1:{port}",
        "/etc/opa-authz-store/server.pem": str(certificate),
        "/etc/opa-authz-store/server-key.pem": str(key),
        "/etc/opa-authz-store/ca.pem": str(store.authority.ca),
        "/opt/opa-authz/take-upload": str(program),
    }.items():
        assert shipped in text, shipped
        text = text.replace(shipped, here)
    (folder / "opa-authz-store.conf").write_text(text)
    environment = _environment()
    libraries = [str(library.parent) for library in root.glob("**/libapr*.so*")]
    environment["LD_LIBRARY_PATH"] += f":{':'.join(sorted(set(libraries)))}"
    modules = root / "usr/lib/apache2/modules"
    config = folder / "httpd.conf"
    config.write_text(
        _APACHE.format(
            folder=folder,
            modules="\n".join(
                f"LoadModule {name}_module {modules}/mod_{name}.so" for name in _MODULES
            ),
            programs=store.programs,
            libraries=environment["LD_LIBRARY_PATH"],
            socket=store.folder,
            store_port=store.port,
        )
    )
    command = [str(root / "usr/sbin/apache2"), "-D", "FOREGROUND", "-f", str(config)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for((folder / "httpd.pid").exists, f"Apache: {(folder / 'log')}", 20)
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


class Collector:
    """A syslog-ng on a Docker host with the shipped configuration."""

    def __init__(self, folder: Path, host: str, audit_file: Path, store: Store) -> None:
        folder.mkdir()
        self._memory = folder / "persist"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        certificate, key = store.authority.issue(host)
        key.chmod(0o600)
        text = (SHIPPED / "syslog-ng.conf").read_text()
        for shipped, here in {
            'host("store.example.org") port("5432")': f'host("127.0.0.1") port("{store.port}")',
            "/etc/opa-authz-store/ca.pem": str(store.authority.ca),
            "/etc/opa-authz-store/host.pem": str(certificate),
            "/etc/opa-authz-store/host-key.pem": str(key),
            "/var/log/opa-authz": str(audit_file.parent),
            "time-reopen(10)": "time-reopen(1)",
        }.items():
            assert shipped in text, shipped
            text = text.replace(shipped, here)
        (folder / "opa-authz.conf").write_text(text)
        config = folder / "syslog-ng.conf"
        config.write_text(f'@version: 3.38\n@include "{folder}/opa-authz.conf"\n')
        modules = ":".join(map(str, _root().glob("usr/lib/syslog-ng/*")))
        self._command = [
            str(_root() / "usr/sbin/syslog-ng"),
            *("--foreground", "--no-caps", f"--cfgfile={config}", f"--module-path={modules}"),
            *(f"--persist-file={self._memory}", f"--control={folder}/control"),
            f"--pidfile={folder}/pid",
        ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=_environment(), cwd=_root(), stdout=log, stderr=log
            )

    def stop(self) -> None:
        """Stop it in good order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        """End it as a loss of power does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)
        self._process = None

    def forget(self) -> None:
        """Remove its note of what it has sent, while it is stopped."""
        self._memory.unlink()
