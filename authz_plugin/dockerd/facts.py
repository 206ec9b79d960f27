"""The functions that read the facts of each operation, grouped for the table in ``routes``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from authz_plugin.dockerd import confinement, connections, images, labels, mounts, references
from authz_plugin.dockerd import workload as workloads
from authz_plugin.dockerd.confinement import Confinement
from authz_plugin.dockerd.connections import Endpoint, Host, Port
from authz_plugin.dockerd.images import Image
from authz_plugin.dockerd.labels import Label
from authz_plugin.dockerd.mounts import ContainerUse, Mount
from authz_plugin.dockerd.parts import Parts
from authz_plugin.dockerd.references import Found, Reference
from authz_plugin.dockerd.workload import SecurityOptions, Workload


class Readers(NamedTuple):
    """The functions that read the facts of one operation.

    Each field has the name of the fact (see ``CanonicalRequest``). It is None if the operation
    has no such fact. ``references`` reads the object in the path by default.
    """

    mounts: Callable[[Parts], Iterator[Mount]] | None = None
    container_uses: Callable[[Parts], Iterator[ContainerUse]] | None = None
    confinement: Callable[[Parts], Confinement] | None = None
    workload: Callable[[Parts, SecurityOptions], Workload] | None = None
    images: Callable[[Parts], Iterator[Image]] | None = None
    ports: Callable[[Parts], Iterator[Port]] | None = None
    endpoints: Callable[[Parts], Iterator[Endpoint]] | None = None
    hosts: Callable[[Parts], Iterator[Host]] | None = None
    references: Callable[[Parts, Found], Iterator[Reference]] = references.of_path
    labels: Callable[[Parts], Iterator[Label]] | None = None


PATH: Final = Readers()
"""The object in the path is the only fact."""

USED: Final = Readers(container_uses=mounts.used_container)
"""dockerd sets up the mounts of the container in the path."""

CONTAINER: Final = Readers(
    mounts=mounts.of_container,
    container_uses=mounts.volumes_from,
    confinement=confinement.of_container,
    workload=workloads.of_container,
    images=images.of_container,
    ports=connections.container_ports,
    endpoints=connections.container_endpoints,
    hosts=connections.container_hosts,
    references=references.of_container,
    labels=labels.of_container,
)
CONTAINER_LIST: Final = Readers(references=references.of_list)
CONTAINER_RENAME: Final = Readers(references=references.of_rename)
CONTAINER_UPDATE: Final = Readers(
    container_uses=mounts.restarted_container, workload=workloads.of_update
)
COMMIT: Final = Readers(
    workload=workloads.of_commit,
    images=images.of_repo,
    references=references.of_commit,
    labels=labels.of_commit,
)
EXEC: Final = Readers(workload=workloads.of_exec)
CHECKPOINT: Final = Readers(mounts=mounts.of_checkpoint)
CHECKPOINTS: Final = Readers(mounts=mounts.of_dir)
CHECKPOINT_RESTORE: Final = Readers(
    mounts=mounts.of_checkpoint_dir, container_uses=mounts.used_container
)

IMAGE_PULL: Final = Readers(images=images.of_pull)
IMAGE_IMPORT: Final = Readers(images=images.of_repo, labels=labels.of_changes)
IMAGE_PUSH: Final = Readers(images=images.of_push)
IMAGE_TAG: Final = Readers(images=images.of_repo)
IMAGE_SEARCH: Final = Readers(images=images.of_search)
DISTRIBUTION: Final = Readers(images=images.of_distribution)
BUILD: Final = Readers(
    images=images.of_build, hosts=connections.build_hosts, labels=labels.of_build
)

SERVICE_CREATE: Final = Readers(
    mounts=mounts.of_service,
    confinement=confinement.of_service,
    workload=workloads.of_service,
    images=images.of_service,
    ports=connections.service_ports,
    endpoints=connections.service_endpoints,
    hosts=connections.service_hosts,
    references=references.of_new_service,
    labels=labels.of_service,
)
SERVICE_UPDATE: Final = SERVICE_CREATE._replace(references=references.of_service)
SWARM_INIT: Final = Readers(workload=workloads.of_swarm_init, labels=labels.of_swarm_init)
SWARM_UPDATE: Final = Readers(workload=workloads.of_swarm_update, labels=labels.of_body)
LABELS: Final = Readers(labels=labels.of_body)
SECRET: Final = Readers(references=references.of_new_secret, labels=labels.of_body)
CONFIG: Final = Readers(references=references.of_new_config, labels=labels.of_body)

VOLUME_CREATE: Final = Readers(
    mounts=mounts.of_volume, references=references.of_new_volume, labels=labels.of_body
)
VOLUME_UPDATE: Final = Readers(references=references.of_volume)
NETWORK_CREATE: Final = Readers(references=references.of_network, labels=labels.of_body)
NETWORK_CONNECT: Final = Readers(
    endpoints=connections.connected_endpoints, references=references.of_connect
)
NETWORK_DISCONNECT: Final = Readers(references=references.of_disconnect)

PLUGIN_REMOTE: Final = Readers(images=images.of_remote)
PLUGIN_PUSH: Final = Readers(images=images.of_plugin_push)
