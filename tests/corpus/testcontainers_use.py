"""An ordinary test with Testcontainers for Python, run as a program with an image and a folder.

Testcontainers reads its settings from the environment when it is imported.
"""

from __future__ import annotations

import sys

from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import LogMessageWaitStrategy


def main(image: str, folder: str) -> None:
    """Start a container in a network, use it, remove both."""
    with Network() as network:
        container = (
            DockerContainer(image)
            .with_command(["sh", "-c", "echo ready; sleep 100"])
            .with_env("MODE", "test")
            .with_network(network)
            .with_network_aliases("db")
            .with_exposed_ports(80)
            .with_volume_mapping(folder, "/w", "ro")
            .with_tmpfs_mount("/t", "size=1m")
            .with_copy_into_container(b"x", "/bin/file")
            .with_kwargs(mem_limit="64m", labels={"team": "shop"})
            .waiting_for(LogMessageWaitStrategy("ready"))
        )
        with container:
            assert container.exec(["cat", "/bin/file"]).output == b"x"
            container.get_container_host_ip()
            container.get_exposed_port(80)
            container.get_logs()
            container.get_container_info()
            container.get_wrapped_container().stop(timeout=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
