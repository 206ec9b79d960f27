"""Services that hand out bundles, on loopback ports: Debian's nginx, Debian's registry, and an
S3-compatible store, which Go builds."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.harness.certificates import Authority
from tests.harness.engines import CACHE, make_once, unpack
from tests.harness.plugin import wait_for
from tests.harness.prometheus import free_port

_SUITE: Final = "bookworm"
_VERSITYGW: Final = "v1.8.0"

_NGINX: Final = """\
daemon off;
user root;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  log_format sizes '"$request" $status $body_bytes_sent '
    'sent=$bytes_sent got=$request_length at=$msec';
  access_log {folder}/access.log sizes;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    root {folder}/files;
    if ($http_authorization != "Bearer {token}") {{ return 401; }}
    location / {{ dav_methods PUT; create_full_put_path on; }}
    location = /logs {{
      client_body_in_file_only on;
      client_body_temp_path {folder}/logs;
      proxy_pass http://127.0.0.1:{taken};
    }}
    location = /status {{
      client_body_in_file_only on;
      client_body_temp_path {folder}/status;
      proxy_pass http://127.0.0.1:{taken};
    }}
  }}
  server {{
    listen 127.0.0.1:{taken};
    access_log off;
    return 204;
  }}
}}
"""

_REGISTRY: Final = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}
http: {{addr: "127.0.0.1:{port}", secret: none}}
"""


@dataclass(frozen=True)
class WebServer:
    """A running nginx with TLS that takes files by PUT and wants a token.

    ``logs`` and ``status`` have a file for each body that an OPA has uploaded.
    """

    url: str
    ca: Path
    token_file: Path
    files: Path
    logs: Path
    status: Path


@contextmanager
def running_nginx(folder: Path, port: int | None = None) -> Iterator[WebServer]:
    """Run nginx with files in a folder; it keeps them, its authority and its token."""
    unpack(_SUITE, ("nginx",), CACHE / "nginx")
    folder.mkdir(exist_ok=True)
    (folder / "files").mkdir(exist_ok=True)
    port = port or free_port()
    token = folder / "token"
    if not token.exists():
        Authority(folder / "authority").issue("nginx")
        token.write_text(secrets.token_hex(20))
    authority = folder / "authority"
    config = folder / "nginx.conf"
    config.write_text(
        _NGINX.format(
            folder=folder,
            port=port,
            taken=free_port(),
            certificate=authority / "nginx.pem",
            key=authority / "nginx-key.pem",
            token=token.read_text(),
        )
    )
    with _running([CACHE / "nginx/usr/sbin/nginx", "-c", config], folder / "nginx.log", port):
        yield WebServer(
            f"https://127.0.0.1:{port}",
            authority / "ca.pem",
            token,
            folder / "files",
            folder / "logs",
            folder / "status",
        )


@contextmanager
def running_registry(folder: Path, port: int | None = None) -> Iterator[str]:
    """Run a registry with its content in a folder; its address."""
    unpack(_SUITE, ("docker-registry",), CACHE / "registry")
    folder.mkdir(exist_ok=True)
    port = port or free_port()
    config = folder / "registry.yml"
    config.write_text(_REGISTRY.format(folder=folder, port=port))
    program = CACHE / "registry/usr/bin/docker-registry"
    with _running([program, "serve", config], folder / "registry.log", port):
        yield f"127.0.0.1:{port}"


@dataclass(frozen=True)
class Bucket:
    """A bucket of a running S3-compatible store with TLS, and who may use it."""

    url: str
    ca: Path
    region: str
    access_key: str
    secret_key: str

    def put(self, name: str, file: Path) -> None:
        """Upload a file."""
        subprocess.run(
            [
                *("curl", "--silent", "--show-error", "--fail", "--cacert", self.ca),
                *("--aws-sigv4", f"aws:amz:{self.region}:s3"),
                *("--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"),
                *("--user", f"{self.access_key}:{self.secret_key}"),
                *("--upload-file", file, f"{self.url}/{name}"),
            ],
            check=True,
        )


@contextmanager
def running_s3(folder: Path) -> Iterator[Bucket]:
    """Run a store with a bucket; its files lie in a folder."""
    program = CACHE / f"versitygw-{_VERSITYGW}"
    make_once(program, _install_versitygw)
    (folder / "files/policies").mkdir(parents=True)
    certificate, key = Authority(folder / "authority").issue("s3")
    port = free_port()
    bucket = Bucket(
        url=f"https://127.0.0.1:{port}/policies",
        ca=folder / "authority/ca.pem",
        region="eu-north-1",
        access_key="bundles",
        secret_key=secrets.token_hex(20),
    )
    command: list[str | Path] = [
        *(program / "versitygw", "--port", f"127.0.0.1:{port}", "--region", bucket.region),
        *("--cert", certificate, "--key", key, "--quiet"),
        *("--access", bucket.access_key, "--secret", bucket.secret_key),
        *("posix", "--sidecar", folder / "metadata", folder / "files"),
    ]
    (folder / "metadata").mkdir()
    with _running(command, folder / "s3.log", port):
        yield bucket


def _install_versitygw(folder: Path) -> None:
    package = f"github.com/versity/versitygw/cmd/versitygw@{_VERSITYGW}"
    subprocess.run(
        ["go", "install", "-ldflags=-s -w", package],
        env={**os.environ, "GOBIN": str(folder)},
        check=True,
    )


@contextmanager
def _running(command: list[str | Path], log: Path, port: int) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for(lambda: _answers(port) or process.poll() is not None, str(command[0]), 20)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
