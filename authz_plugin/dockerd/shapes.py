"""The JSON bodies of the Docker Engine API, 20.10 to 29, as shapes.

Each shape has the fields of the Go type in all these engines, so that no field that some engine
reads is missed; a field that engines added or dropped is marked with the release. Sources:
``github.com/docker/docker`` v20.10.24 and v28.5.2 ``api/types``, ``github.com/moby/moby/api``
v1.56.1; the Go program in ``tests/oracle`` compares these shapes with those types.
"""

from __future__ import annotations

from typing import Final

from authz_plugin.dockerd.gojson import (
    Array,
    Bool,
    Bytes,
    Float,
    Integer,
    Map,
    Pointer,
    PointerOrZero,
    Shape,
    Slice,
    String,
    StringOrSlice,
    Struct,
)

__all__ = ["Shape"]

BOOL: Final = Bool()
STRING: Final = String()
INT: Final = Integer(64, signed=True)
UINT16: Final = Integer(16, signed=False)
UINT32: Final = Integer(32, signed=False)
UINT: Final = Integer(64, signed=False)
FLOAT: Final = Float()
BYTES: Final = Bytes()
STRINGS: Final = Slice(STRING)
STRING_OR_STRINGS: Final = StringOrSlice()
STRING_MAP: Final = Map(STRING)
EMPTY: Final = Struct({})


def _port(key: str) -> str:
    """A port in one form: ``80``, ``080``, ``80/tcp`` and ``80/TCP`` are the same."""
    number, _, protocol = key.partition("/")
    return f"{number.lstrip('0')}/{protocol.lower() or 'tcp'}"


# --- mounts, shared by containers and services -------------------------------------------------

DRIVER: Final = Struct({"Name": STRING, "Options": STRING_MAP})

MOUNT: Final = Struct(
    {
        "Type": STRING,
        "Source": STRING,
        "Target": STRING,
        "ReadOnly": BOOL,
        "Consistency": STRING,
        "BindOptions": Pointer(
            Struct(
                {
                    "Propagation": STRING,
                    "NonRecursive": BOOL,
                    "CreateMountpoint": BOOL,  # since 23.0
                    "ReadOnlyNonRecursive": BOOL,  # since 25.0
                    "ReadOnlyForceRecursive": BOOL,  # since 25.0
                }
            )
        ),
        "VolumeOptions": Pointer(
            Struct(
                {
                    "NoCopy": BOOL,
                    "Labels": STRING_MAP,
                    "Subpath": STRING,  # since 26.0
                    "DriverConfig": Pointer(DRIVER),
                }
            )
        ),
        "ImageOptions": Pointer(Struct({"Subpath": STRING})),  # since 28.0
        "TmpfsOptions": Pointer(
            Struct({"SizeBytes": INT, "Mode": UINT32, "Options": Slice(STRINGS)})
        ),
        "ClusterOptions": Pointer(EMPTY),  # since 23.0
    }
)

# --- containers --------------------------------------------------------------------------------

HEALTHCHECK: Final = Struct(
    {
        "Test": STRINGS,
        "Interval": INT,
        "Timeout": INT,
        "StartPeriod": INT,
        "StartInterval": INT,  # since 25.0
        "Retries": INT,
    }
)

_CONFIG: Final[dict[str, Shape]] = {
    "Hostname": STRING,
    "Domainname": STRING,
    "User": STRING,
    "AttachStdin": BOOL,
    "AttachStdout": BOOL,
    "AttachStderr": BOOL,
    "ExposedPorts": Map(EMPTY, key=_port),
    "Tty": BOOL,
    "OpenStdin": BOOL,
    "StdinOnce": BOOL,
    "Env": STRINGS,
    "Cmd": STRING_OR_STRINGS,
    "Healthcheck": Pointer(HEALTHCHECK),
    "ArgsEscaped": BOOL,
    "Image": STRING,
    "Volumes": Map(EMPTY),
    "WorkingDir": STRING,
    "Entrypoint": STRING_OR_STRINGS,
    "NetworkDisabled": BOOL,
    "MacAddress": STRING,  # from 29 on below API 1.52 only
    "OnBuild": STRINGS,
    "Labels": STRING_MAP,
    "StopSignal": STRING,
    "StopTimeout": Pointer(INT),
    "Shell": STRING_OR_STRINGS,
}

_WEIGHT_DEVICES: Final = Slice(Pointer(Struct({"Path": STRING, "Weight": UINT16})))
_THROTTLE_DEVICES: Final = Slice(Pointer(Struct({"Path": STRING, "Rate": UINT})))
_ULIMITS: Final = Slice(Pointer(Struct({"Name": STRING, "Hard": INT, "Soft": INT})))
_RESTART_POLICY: Final = Struct({"Name": STRING, "MaximumRetryCount": INT})

_RESOURCES: Final[dict[str, Shape]] = {
    "CpuShares": INT,
    "Memory": INT,
    "NanoCpus": INT,
    "CgroupParent": STRING,
    "BlkioWeight": UINT16,
    "BlkioWeightDevice": _WEIGHT_DEVICES,
    "BlkioDeviceReadBps": _THROTTLE_DEVICES,
    "BlkioDeviceWriteBps": _THROTTLE_DEVICES,
    "BlkioDeviceReadIOps": _THROTTLE_DEVICES,
    "BlkioDeviceWriteIOps": _THROTTLE_DEVICES,
    "CpuPeriod": INT,
    "CpuQuota": INT,
    "CpuRealtimePeriod": INT,
    "CpuRealtimeRuntime": INT,
    "CpusetCpus": STRING,
    "CpusetMems": STRING,
    "Devices": Slice(
        Struct({"PathOnHost": STRING, "PathInContainer": STRING, "CgroupPermissions": STRING})
    ),
    "DeviceCgroupRules": STRINGS,
    "DeviceRequests": Slice(
        Struct(
            {
                "Driver": STRING,
                "Count": INT,
                "DeviceIDs": STRINGS,
                "Capabilities": Slice(STRINGS),
                "Options": STRING_MAP,
            }
        )
    ),
    "KernelMemory": INT,  # until 28
    "KernelMemoryTCP": INT,  # until 28
    "MemoryReservation": INT,
    "MemorySwap": INT,
    "MemorySwappiness": Pointer(INT),
    "OomKillDisable": Pointer(BOOL),
    "PidsLimit": Pointer(INT),
    "Ulimits": _ULIMITS,
    "CpuCount": INT,
    "CpuPercent": INT,
    "IOMaximumIOps": UINT,
    "IOMaximumBandwidth": UINT,
}

_HOST_CONFIG: Final[dict[str, Shape]] = {
    "Binds": STRINGS,
    "ContainerIDFile": STRING,
    "LogConfig": Struct({"Type": STRING, "Config": STRING_MAP}),
    "NetworkMode": STRING,
    "PortBindings": Map(Slice(Struct({"HostIp": STRING, "HostPort": STRING})), key=_port),
    "RestartPolicy": _RESTART_POLICY,
    "AutoRemove": BOOL,
    "VolumeDriver": String(longest=255),  # every volume in the input document repeats it
    "VolumesFrom": STRINGS,
    "ConsoleSize": Array(UINT, 2),
    "Annotations": STRING_MAP,  # since 24.0
    "CapAdd": STRING_OR_STRINGS,
    "CapDrop": STRING_OR_STRINGS,
    "CgroupnsMode": STRING,
    "Dns": STRINGS,
    "DnsOptions": STRINGS,
    "DnsSearch": STRINGS,
    "ExtraHosts": STRINGS,
    "GroupAdd": STRINGS,
    "IpcMode": STRING,
    "Cgroup": STRING,
    "Links": STRINGS,
    "OomScoreAdj": INT,
    "PidMode": STRING,
    "Privileged": BOOL,
    "PublishAllPorts": BOOL,
    "ReadonlyRootfs": BOOL,
    "SecurityOpt": STRINGS,
    "StorageOpt": STRING_MAP,
    "Tmpfs": STRING_MAP,
    "Umask": Pointer(UINT32),  # since 29
    "UTSMode": STRING,
    "UsernsMode": STRING,
    "ShmSize": INT,
    "Sysctls": STRING_MAP,
    "Runtime": STRING,
    "Isolation": STRING,
    "Mounts": Slice(MOUNT),
    "MaskedPaths": Slice(STRING, nullable=True),  # nil: the default list; empty: no masked path
    "ReadonlyPaths": Slice(STRING, nullable=True),
    "Init": Pointer(BOOL),
    **_RESOURCES,
}

ENDPOINT: Final = Struct(
    {
        "IPAMConfig": Pointer(
            Struct({"IPv4Address": STRING, "IPv6Address": STRING, "LinkLocalIPs": STRINGS})
        ),
        "Links": STRINGS,
        "Aliases": STRINGS,
        "MacAddress": STRING,
        "DriverOpts": STRING_MAP,
        "GwPriority": INT,  # since 28.0
        "NetworkID": STRING,
        "EndpointID": STRING,
        "Gateway": STRING,
        "IPAddress": STRING,
        "IPPrefixLen": INT,
        "IPv6Gateway": STRING,
        "GlobalIPv6Address": STRING,
        "GlobalIPv6PrefixLen": INT,
        "DNSNames": STRINGS,  # since 25.0
    }
)

_OLD_TOP_LEVEL: Final[dict[str, Shape]] = {"Cpuset": STRING, **_HOST_CONFIG}
"""Engines up to 26.1 read HostConfig's fields at the top level too (moby v20.10.24
``runconfig/config_unix.go`` ContainerConfigWrapper); later ones ignore them there. docker-py sends
one of them, ``Runtime``, which engines up to 26.1 take only if HostConfig is missing or null: a
create therefore has it as a field of its own, which ``containers.runtime`` judges too."""

_CREATE: Final[dict[str, Shape]] = {
    **_CONFIG,
    "HostConfig": PointerOrZero(Struct(_HOST_CONFIG)),
    "NetworkingConfig": PointerOrZero(
        Struct({"EndpointsConfig": Map(Pointer(ENDPOINT))}),
    ),
}
CONTAINER_CREATE: Final = Struct(
    {**_CREATE, "Runtime": STRING},
    refused={name: shape for name, shape in _OLD_TOP_LEVEL.items() if name != "Runtime"},
    unread=["name", "platform"],  # dockerode; engines read them in the query
)
COMMIT: Final = Struct(_CREATE, refused=_OLD_TOP_LEVEL, unread=["name", "platform"])
CONTAINER_UPDATE: Final = Struct({**_RESOURCES, "RestartPolicy": _RESTART_POLICY})
CONTAINER_COPY: Final = Struct({"Resource": STRING})  # until 24.0, API below 1.24
CHECKPOINT_CREATE: Final = Struct({"CheckpointID": STRING, "CheckpointDir": STRING, "Exit": BOOL})

_CONSOLE_SIZE: Final = Pointer(Array(UINT, 2))

EXEC_CREATE: Final = Struct(
    {
        "User": STRING,
        "Privileged": BOOL,
        "Tty": BOOL,
        "ConsoleSize": _CONSOLE_SIZE,  # since 23.0
        "AttachStdin": BOOL,
        "AttachStderr": BOOL,
        "AttachStdout": BOOL,
        "DetachKeys": STRING,
        "Env": STRINGS,
        "WorkingDir": STRING,
        "Cmd": STRINGS,
        "Detach": BOOL,  # until 28
    },
    unread=["Container"],  # docker-py
)
EXEC_START: Final = Struct(
    {"Detach": BOOL, "Tty": BOOL, "ConsoleSize": _CONSOLE_SIZE},
    unread=["hijack", "stdin"],  # dockerode
)

# --- networks ----------------------------------------------------------------------------------

NETWORK_CREATE: Final = Struct(
    {
        "Name": STRING,
        "CheckDuplicate": Pointer(BOOL),  # until 28
        "Driver": STRING,
        "Scope": STRING,
        "EnableIPv4": Pointer(BOOL),  # since 28.0
        "EnableIPv6": Pointer(BOOL),
        "IPAM": Pointer(
            Struct(
                {
                    "Driver": STRING,
                    "Options": STRING_MAP,
                    "Config": Slice(
                        Struct(
                            {
                                "Subnet": STRING,
                                "IPRange": STRING,
                                "Gateway": STRING,
                                "AuxiliaryAddresses": STRING_MAP,
                            }
                        )
                    ),
                }
            )
        ),
        "Internal": BOOL,
        "Attachable": BOOL,
        "Ingress": BOOL,
        "ConfigOnly": BOOL,
        "ConfigFrom": Pointer(Struct({"Network": STRING})),
        "Options": STRING_MAP,
        "Labels": STRING_MAP,
    }
)
NETWORK_CONNECT: Final = Struct({"Container": STRING, "EndpointConfig": Pointer(ENDPOINT)})
NETWORK_DISCONNECT: Final = Struct({"Container": STRING, "Force": BOOL})

# --- volumes -----------------------------------------------------------------------------------

_TOPOLOGIES: Final = Slice(Struct({"Segments": STRING_MAP}))

_CLUSTER_VOLUME: Final = Struct(  # since 23.0
    {
        "Group": STRING,
        "AccessMode": Pointer(
            Struct(
                {
                    "Scope": STRING,
                    "Sharing": STRING,
                    "MountVolume": Pointer(Struct({"FsType": STRING, "MountFlags": STRINGS})),
                    "BlockVolume": Pointer(EMPTY),
                }
            )
        ),
        "AccessibilityRequirements": Pointer(
            Struct({"Requisite": _TOPOLOGIES, "Preferred": _TOPOLOGIES})
        ),
        "CapacityRange": Pointer(Struct({"RequiredBytes": INT, "LimitBytes": INT})),
        "Secrets": Slice(Struct({"Key": STRING, "Secret": STRING})),
        "Availability": STRING,
    }
)
VOLUME_CREATE: Final = Struct(
    {
        "ClusterVolumeSpec": Pointer(_CLUSTER_VOLUME),
        "Driver": STRING,
        "DriverOpts": STRING_MAP,
        "Labels": STRING_MAP,
        "Name": STRING,
    }
)
VOLUME_UPDATE: Final = Struct({"Spec": Pointer(_CLUSTER_VOLUME)})

# --- swarm -------------------------------------------------------------------------------------

_ANNOTATIONS: Final[dict[str, Shape]] = {"Name": STRING, "Labels": STRING_MAP}

_FILE: Final = Struct({"Name": STRING, "UID": STRING, "GID": STRING, "Mode": UINT32})

_CONTAINER_SPEC: Final = Struct(
    {
        "Image": STRING,
        "Labels": STRING_MAP,
        "Command": STRINGS,
        "Args": STRINGS,
        "Hostname": STRING,
        "Env": STRINGS,
        "Dir": STRING,
        "User": STRING,
        "Groups": STRINGS,
        "Privileges": Pointer(
            Struct(
                {
                    "CredentialSpec": Pointer(
                        Struct({"Config": STRING, "File": STRING, "Registry": STRING})
                    ),
                    "SELinuxContext": Pointer(
                        Struct(
                            {
                                "Disable": BOOL,
                                "User": STRING,
                                "Role": STRING,
                                "Type": STRING,
                                "Level": STRING,
                            }
                        )
                    ),
                    "Seccomp": Pointer(Struct({"Mode": STRING, "Profile": BYTES})),  # since 26.0
                    "AppArmor": Pointer(Struct({"Mode": STRING})),  # since 26.0
                    "NoNewPrivileges": BOOL,  # since 26.0
                }
            )
        ),
        "Init": Pointer(BOOL),
        "StopSignal": STRING,
        "TTY": BOOL,
        "OpenStdin": BOOL,
        "ReadOnly": BOOL,
        "Mounts": Slice(MOUNT),
        "StopGracePeriod": Pointer(INT),
        "Healthcheck": Pointer(HEALTHCHECK),
        "Hosts": STRINGS,
        "DNSConfig": Pointer(
            Struct({"Nameservers": STRINGS, "Search": STRINGS, "Options": STRINGS})
        ),
        "Secrets": Slice(
            Pointer(Struct({"File": Pointer(_FILE), "SecretID": STRING, "SecretName": STRING}))
        ),
        "Configs": Slice(
            Pointer(
                Struct(
                    {
                        "File": Pointer(_FILE),
                        "Runtime": Pointer(EMPTY),
                        "ConfigID": STRING,
                        "ConfigName": STRING,
                    }
                )
            )
        ),
        "Isolation": STRING,
        "Sysctls": STRING_MAP,
        "CapabilityAdd": STRINGS,
        "CapabilityDrop": STRINGS,
        "Ulimits": _ULIMITS,
        "OomScoreAdj": INT,  # since 28.0
    }
)

_GENERIC_RESOURCES: Final = Slice(
    Struct(
        {
            "NamedResourceSpec": Pointer(Struct({"Kind": STRING, "Value": STRING})),
            "DiscreteResourceSpec": Pointer(Struct({"Kind": STRING, "Value": INT})),
        }
    )
)
_NETWORK_ATTACHMENTS: Final = Slice(
    Struct({"Target": STRING, "Aliases": STRINGS, "DriverOpts": STRING_MAP})
)
_UPDATE_CONFIG: Final = Struct(
    {
        "Parallelism": UINT,
        "Delay": INT,
        "FailureAction": STRING,
        "Monitor": INT,
        "MaxFailureRatio": FLOAT,
        "Order": STRING,
    }
)

SERVICE: Final = Struct(
    {
        **_ANNOTATIONS,
        "TaskTemplate": Struct(
            {
                "ContainerSpec": Pointer(_CONTAINER_SPEC),
                "PluginSpec": Pointer(
                    Struct(
                        {
                            "name": STRING,
                            "remote": STRING,
                            "privileges": Slice(
                                Pointer(
                                    Struct(
                                        {"name": STRING, "description": STRING, "value": STRINGS}
                                    )
                                )
                            ),
                            "disabled": BOOL,
                            "env": STRINGS,
                        }
                    )
                ),
                "NetworkAttachmentSpec": Pointer(Struct({"ContainerID": STRING})),
                "Resources": Pointer(
                    Struct(
                        {
                            "Limits": Pointer(
                                Struct({"NanoCPUs": INT, "MemoryBytes": INT, "Pids": INT})
                            ),
                            "Reservations": Pointer(
                                Struct(
                                    {
                                        "NanoCPUs": INT,
                                        "MemoryBytes": INT,
                                        "GenericResources": _GENERIC_RESOURCES,
                                    }
                                )
                            ),
                            "SwapBytes": Pointer(INT),  # since 29
                            "MemorySwappiness": Pointer(INT),  # since 29
                        }
                    )
                ),
                "RestartPolicy": Pointer(
                    Struct(
                        {
                            "Condition": STRING,
                            "Delay": Pointer(INT),
                            "MaxAttempts": Pointer(UINT),
                            "Window": Pointer(INT),
                        }
                    )
                ),
                "Placement": Pointer(
                    Struct(
                        {
                            "Constraints": STRINGS,
                            "Preferences": Slice(
                                Struct({"Spread": Pointer(Struct({"SpreadDescriptor": STRING}))})
                            ),
                            "MaxReplicas": UINT,
                            "Platforms": Slice(Struct({"Architecture": STRING, "OS": STRING})),
                        }
                    )
                ),
                "Networks": _NETWORK_ATTACHMENTS,
                "LogDriver": Pointer(DRIVER),
                "ForceUpdate": UINT,
                "Runtime": STRING,
            }
        ),
        "Mode": Struct(
            {
                "Replicated": Pointer(Struct({"Replicas": Pointer(UINT)})),
                "Global": Pointer(EMPTY),
                "ReplicatedJob": Pointer(
                    Struct({"MaxConcurrent": Pointer(UINT), "TotalCompletions": Pointer(UINT)})
                ),
                "GlobalJob": Pointer(EMPTY),
            }
        ),
        "UpdateConfig": Pointer(_UPDATE_CONFIG),
        "RollbackConfig": Pointer(_UPDATE_CONFIG),
        "Networks": _NETWORK_ATTACHMENTS,  # from 29 on below API 1.44 only
        "EndpointSpec": Pointer(
            Struct(
                {
                    "Mode": STRING,
                    "Ports": Slice(
                        Struct(
                            {
                                "Name": STRING,
                                "Protocol": STRING,
                                "TargetPort": UINT32,
                                "PublishedPort": UINT32,
                                "PublishMode": STRING,
                            }
                        )
                    ),
                }
            )
        ),
    }
)

SWARM_SPEC: Final = Struct(
    {
        **_ANNOTATIONS,
        "Orchestration": Struct({"TaskHistoryRetentionLimit": Pointer(INT)}),
        "Raft": Struct(
            {
                "SnapshotInterval": UINT,
                "KeepOldSnapshots": Pointer(UINT),
                "LogEntriesForSlowFollowers": UINT,
                "ElectionTick": INT,
                "HeartbeatTick": INT,
            }
        ),
        "Dispatcher": Struct({"HeartbeatPeriod": INT}),
        "CAConfig": Struct(
            {
                "NodeCertExpiry": INT,
                "ExternalCAs": Slice(
                    Pointer(
                        Struct(
                            {
                                "Protocol": STRING,
                                "URL": STRING,
                                "Options": STRING_MAP,
                                "CACert": STRING,
                            }
                        )
                    )
                ),
                "SigningCACert": STRING,
                "SigningCAKey": STRING,
                "ForceRotate": UINT,
            }
        ),
        "TaskDefaults": Struct({"LogDriver": Pointer(DRIVER)}),
        "EncryptionConfig": Struct({"AutoLockManagers": BOOL}),
    }
)
SWARM_INIT: Final = Struct(
    {
        "ListenAddr": STRING,
        "AdvertiseAddr": STRING,
        "DataPathAddr": STRING,
        "DataPathPort": UINT32,
        "ForceNewCluster": BOOL,
        "Spec": SWARM_SPEC,
        "AutoLockManagers": BOOL,
        "Availability": STRING,
        "DefaultAddrPool": STRINGS,
        "SubnetSize": UINT32,
    }
)
SWARM_JOIN: Final = Struct(
    {
        "ListenAddr": STRING,
        "AdvertiseAddr": STRING,
        "DataPathAddr": STRING,
        "RemoteAddrs": STRINGS,
        "JoinToken": STRING,
        "Availability": STRING,
    }
)
SWARM_UNLOCK: Final = Struct({"UnlockKey": STRING})
NODE: Final = Struct({**_ANNOTATIONS, "Role": STRING, "Availability": STRING})
SECRET: Final = Struct(
    {**_ANNOTATIONS, "Data": BYTES, "Driver": Pointer(DRIVER), "Templating": Pointer(DRIVER)}
)
CONFIG: Final = Struct({**_ANNOTATIONS, "Data": BYTES, "Templating": Pointer(DRIVER)})

# --- plugins -----------------------------------------------------------------------------------

PLUGIN_PRIVILEGES: Final = Slice(Struct({"Name": STRING, "Description": STRING, "Value": STRINGS}))
PLUGIN_SETTINGS: Final = STRINGS
