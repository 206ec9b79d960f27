"""Operations that reach past containers: execs, images, volumes, networks, swarm, plugins."""

from __future__ import annotations

import json
from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import archive, get, post
from authz_plugin.tools.attack.model import TAR, Proof, RequestTemplate
from tests.harness.dockerd import IMAGE
from tests.harness.engines import NEWEST
from tests.real.attacks.model import (
    ANSWERED,
    NOT_IN_PRODUCTION,
    SECTION,
    SECTIONS_CLOSED,
    UPGRADE,
    AttackCase,
    EngineRefusal,
    Table,
    on_all,
    plugin,
    removes,
    returns,
    service,
    shows,
)

_ONLY_PRODUCTION: Final[dict[str, Any]] = {"devcontainer": None, "strict": None}
_NOT_STRICT: Final[dict[str, Any]] = {"strict": None}

_running = Table("running", "Into running containers, and out of them")


def _exec(title: str, body: dict[str, Any], rule: str, **more: Any) -> AttackCase:
    return _running.row(
        title,
        post("/containers/running/exec", json.dumps({"Cmd": ["id"], **body})),
        rule,
        returns("Id"),
        **{**NOT_IN_PRODUCTION, **more},
    )


RUNNING: Final = (
    _exec("An exec", {}, SECTION, **_ONLY_PRODUCTION),
    _exec("A privileged exec", {"Privileged": True}, "privileged.exec"),
    _exec("A privileged exec, in other case", {"pRIVILEGED": True}, "privileged.exec"),
    _exec("An exec as root", {"User": "0:0"}, "users.exec", devcontainer=None),
    _exec("An exec as 00", {"User": "00"}, "users.exec", devcontainer=None),
    _running.row(
        "The start of an exec that was made before",
        post("/exec/<exec>/start", '{"Detach":true}'),
        SECTION,
        ANSWERED,
        **_ONLY_PRODUCTION,
    ),
    _running.row(
        "A file written into a container",
        RequestTemplate(
            "PUT", "/containers/running/archive?path=/", archive({"written.txt": "x"}), (TAR,)
        ),
        SECTION,
        Proof("/containers/running/archive?path=/written.txt", form="tar"),
        **_ONLY_PRODUCTION,
    ),
    _running.row(
        "A file read out of a container",
        get("/containers/running/archive?path=/etc/hostname"),
        SECTION,
        ANSWERED,
        **_ONLY_PRODUCTION,
    ),
    _running.row(
        "A container exported",
        get("/containers/running/export"),
        SECTION,
        ANSWERED,
        **_ONLY_PRODUCTION,
    ),
    _running.row(
        "Options for the host's ps",
        get("/containers/running/top?ps_args=-eo%20pid,args"),
        "containers.ps-arguments",
        ANSWERED,
        devcontainer=None,
    ),
    _running.row(
        "A checkpoint into a folder of the host",
        post(
            "/containers/running/checkpoints",
            '{"CheckpointID":"cp","CheckpointDir":"/etc","Exit":false}',
        ),
        "mounts.source",
        ANSWERED,
        refusals=on_all(EngineRefusal(500, "has no criu here")),
        **SECTIONS_CLOSED,
    ),
    _running.row(
        "A start from a checkpoint of the host",
        post("/containers/created/start?checkpoint=cp&checkpoint-dir=/etc"),
        "mounts.source",
        ANSWERED,
        refusals=on_all(EngineRefusal(403, "takes no other folder")),
    ),
)

_NO_IMAGE_TO_PUSH: Final = "image does not exist locally"

_images = Table("images", "Images, builds and registries")
_DOCKERFILE: Final = archive({"Dockerfile": f"FROM {IMAGE}\nLABEL evil=1\n"})


def _image(title: str, request: RequestTemplate, rule: str, **more: Any) -> AttackCase:
    proof = shows("/images/<name>/json")
    return _images.row(title, request, rule, proof, **{**NOT_IN_PRODUCTION, **more})


def _build(title: str, query: str, rule: str, **more: Any) -> AttackCase:
    request = RequestTemplate("POST", f"/build?t=<name>&{query}", _DOCKERFILE, (TAR,))
    return _image(title, request, rule, **more)


IMAGES: Final = (
    _build("A build in the host's network", "networkmode=host", "build.network"),
    _build("A build in a container's network", "networkmode=container:running", "build.network"),
    _build("A build below another cgroup", "cgroupparent=/system.slice", "build.cgroup-parent"),
    _build(
        "A build with an entry for the host", "extrahosts=h:host-gateway", "networks.extra-host"
    ),
    _build("A build that names an image", "q=1", "images.name", devcontainer=None),
    _image(
        "A build that fetches a URL",
        post("/build?t=<name>&remote=<url>/Dockerfile"),
        "build.remote",
    ),
    _image(
        "An image from a URL that only the host reaches",
        post("/images/create?fromSrc=<url>/image.tar&repo=<name>"),
        "images.url",
    ),
    _image(
        "An image from an archive over a trusted name",
        RequestTemplate(
            "POST", "/images/create?fromSrc=-&repo=<name>", archive({"evil": "x"}), (TAR,)
        ),
        "images.name",
        devcontainer=None,
    ),
    _image(
        "A trusted name for another image",
        post(f"/images/{IMAGE}/tag?repo=<name>&tag=latest"),
        "images.name",
        devcontainer=None,
    ),
    _image(
        "A container as a trusted image",
        post("/commit?container=running&repo=<name>&tag=latest&changes=USER+root", "{}"),
        "images.name",
        devcontainer=None,
    ),
    _images.row(
        "An image exported", get(f"/images/{IMAGE}/get"), SECTION, ANSWERED, **_ONLY_PRODUCTION
    ),
    _images.row(
        "An image removed",
        RequestTemplate("DELETE", "/images/removable:1"),
        SECTION,
        removes("/images/removable:1/json"),
        **_ONLY_PRODUCTION,
    ),
    _images.row(
        "A push to a registry of the caller's",
        post("/images/127.0.0.1:1/x/push", b"", ("X-Registry-Auth", "e30=")),
        "images.push",
        ANSWERED,
        success_errors=_NO_IMAGE_TO_PUSH,
        devcontainer=None,
        **NOT_IN_PRODUCTION,
    ),
    _images.row(
        "A session with BuildKit",
        post("/session", b"", UPGRADE, ("X-Docker-Expose-Session-Uuid", "x")),
        SECTION,
        ANSWERED,
        **_NOT_STRICT,
    ),
    _images.row(
        "BuildKit's own API", post("/grpc", b"", UPGRADE), SECTION, ANSWERED, **_NOT_STRICT
    ),
)

_resources = Table("objects", "Volumes and networks")


def _volume(title: str, options: dict[str, str], rule: str) -> AttackCase:
    body = json.dumps({"Name": "<name>", "Driver": "local", "DriverOpts": options})
    return _resources.row(
        title,
        post("/volumes/create", body),
        rule,
        shows("/volumes/<name>", "Options", options),
        **NOT_IN_PRODUCTION,
    )


def _network(
    title: str, config: dict[str, Any], rule: str, at: str, value: Any, **more: Any
) -> AttackCase:
    return _resources.row(
        title,
        post("/networks/create", json.dumps({"Name": "<name>", **config})),
        rule,
        shows("/networks/<name>", at, value),
        **{**NOT_IN_PRODUCTION, **more},
    )


RESOURCES: Final = (
    _volume(
        "A volume of the host's root", {"type": "none", "o": "bind", "device": "/"}, "mounts.source"
    ),
    _volume(
        "A volume of the host's root, called tmpfs",
        {"type": "tmpfs", "o": "size=1,rbind", "device": "/"},
        "mounts.source",
    ),
    _volume("A volume of a disk", {"type": "ext4", "device": "/dev/vda"}, "volumes.options"),
    _volume(
        "A volume of an overlay",
        {"type": "overlay", "o": "lowerdir=/etc:/root", "device": "overlay"},
        "volumes.options",
    ),
    _volume(
        "A volume of a share",
        {"type": "cifs", "o": "addr=127.0.0.1", "device": "//x/y"},
        "volumes.options",
    ),
    _resources.row(
        "A volume of another driver",
        post("/volumes/create", '{"Name":"<name>","Driver":"<driver>"}'),
        "volumes.driver",
        shows("/volumes/<name>", "Driver", "<driver>"),
        **NOT_IN_PRODUCTION,
    ),
    _resources.row(
        "A volume removed",
        RequestTemplate("DELETE", "/volumes/removable"),
        SECTION,
        removes("/volumes/removable"),
        **_ONLY_PRODUCTION,
    ),
    _network(
        "A network of the host's own LAN",
        {"Driver": "macvlan", "Options": {"parent": "lo"}},
        "networks.driver",
        "Driver",
        "macvlan",
        refusals=on_all(EngineRefusal(500, "no macvlan on lo")),
    ),
    _network(
        "A network of a bridge of the host",
        {"Driver": "bridge", "Options": {"com.docker.network.bridge.name": "br-<short>"}},
        "networks.option",
        "Options",
        {"com.docker.network.bridge.name": "br-<short>"},
    ),
    _network(
        "A network for configuration",
        {"ConfigOnly": True, "Driver": "bridge"},
        "networks.config",
        "ConfigOnly",
        value=True,
    ),
    _network(
        "A network from another's configuration",
        {"ConfigFrom": {"Network": "config-net"}},
        "networks.config",
        "ConfigFrom.Network",
        "config-net",
    ),
    _network(
        "A network with a subnet of the host's routes",
        {"IPAM": {"Config": [{"Subnet": "10.99.0.0/16"}]}},
        "networks.subnet",
        "IPAM.Config.0.Subnet",
        "10.99.0.0/16",
        devcontainer=None,
    ),
    _network(
        "A network of the swarm",
        {"Driver": "overlay", "Attachable": True},
        "networks.driver",
        "Scope",
        "swarm",
    ),
    _network(
        "A network that is the swarm's ingress",
        {"Driver": "overlay", "Ingress": True},
        "networks.ingress",
        "Ingress",
        value=True,
        refusals=on_all(EngineRefusal(409, "has one")),
    ),
    _resources.row(
        "Another's container into a network, under an alias",
        post(
            "/networks/app-net/connect",
            '{"Container":"created","EndpointConfig":{"Aliases":["db"]}}',
        ),
        "networks.alias",
        shows("/containers/created/json", "NetworkSettings.Networks.app-net.Aliases.0", "db"),
        devcontainer=None,
        **NOT_IN_PRODUCTION,
    ),
    _resources.row(
        "A container into a network with sysctls",
        post(
            "/networks/app-net/connect",
            '{"Container":"created_b","EndpointConfig":{"DriverOpts":{"com.docker.network.endpoint.sysctls":"net.ipv4.conf.IFNAME.forwarding=1"}}}',
        ),
        "networks.endpoint-option",
        shows(
            "/containers/created_b/json",
            "NetworkSettings.Networks.app-net.DriverOpts",
            {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.forwarding=1"},
        ),
        **NOT_IN_PRODUCTION,
    ),
)

_swarm = Table("swarm", "Swarm")


def _service(
    title: str,
    rule: str,
    at: str,
    value: Any,
    *,
    spec: str = "",
    task: str = "",
    more: str = "",
    **rest: Any,
) -> AttackCase:
    return _swarm.row(
        title,
        post("/services/create", service(spec, task, more)),
        rule,
        shows("/services/<name>", f"Spec.{at}", value),
        **{**SECTIONS_CLOSED, **rest},
    )


_C: Final = "TaskTemplate.ContainerSpec"
SWARM: Final = (
    _service(
        "A service with a bind",
        "mounts.source",
        f"{_C}.Mounts.0.Source",
        "/",
        spec='"Mounts":[{"Type":"bind","Source":"/","Target":"/h"}]',
    ),
    _service(
        "A service with a Mount of no type",
        "mounts.source",
        f"{_C}.Mounts.0.Source",
        "/",
        spec='"Mounts":[{"Source":"/","Target":"/h"}]',
    ),
    _service(
        "A service with the Docker socket",
        "mounts.protected",
        f"{_C}.Mounts.0.Target",
        "/h",
        spec='"Mounts":[{"Type":"bind","Source":"/var/run/docker.sock","Target":"/h"}]',
    ),
    _service(
        "A service with a volume that is a bind",
        "mounts.source",
        f"{_C}.Mounts.0.VolumeOptions.DriverConfig.Options.device",
        "/",
        spec='"Mounts":[{"Type":"volume","Source":"x","Target":"/h","VolumeOptions":{"DriverConfig":{"Options":{"type":"none","o":"bind","device":"/"}}}}]',
        devcontainer="mounts.source",
    ),
    _service(
        "A service with capabilities",
        "capabilities.add",
        f"{_C}.CapabilityAdd.0",
        "SYS_ADMIN",
        spec='"CapabilityAdd":["SYS_ADMIN"]',
    ),
    _service(
        "A service without seccomp",
        "security-options.value",
        f"{_C}.Privileges.Seccomp.Mode",
        "unconfined",
        refusals={"20.10": EngineRefusal(201, "ignores it")},
        spec='"Privileges":{"Seccomp":{"Mode":"unconfined"}}',
    ),
    _service(
        "A service without AppArmor",
        "security-options.value",
        f"{_C}.Privileges.AppArmor.Mode",
        "disabled",
        refusals={"20.10": EngineRefusal(201, "ignores it")},
        spec='"Privileges":{"AppArmor":{"Mode":"disabled"}}',
    ),
    _service(
        "A service without SELinux",
        "security-options.value",
        f"{_C}.Privileges.SELinuxContext.Disable",
        value=True,
        spec='"Privileges":{"SELinuxContext":{"Disable":true}}',
    ),
    _service(
        "A service with sysctls",
        "sysctls.name",
        f"{_C}.Sysctls",
        {"net.ipv4.ip_forward": "1"},
        spec='"Sysctls":{"net.ipv4.ip_forward":"1"}',
    ),
    _service("A service as root", "users.container", f"{_C}.User", "root", spec='"User":"root"'),
    _service(
        "A service with groups",
        "containers.group",
        f"{_C}.Groups.0",
        "docker",
        spec='"Groups":["docker"]',
    ),
    _service(
        "A service with ulimits",
        "resources.ulimit",
        f"{_C}.Ulimits.0.Hard",
        2_000_000,
        spec='"Ulimits":[{"Name":"nofile","Soft":2000000,"Hard":2000000}]',
    ),
    _service(
        "A service in the host's network",
        "namespaces.host",
        "TaskTemplate.Networks.0.Target",
        None,
        task='"Networks":[{"Target":"host"}]',
    ),
    _service(
        "A service in the host's network, the old way",
        "namespaces.host",
        "Networks.0.Target",
        None,
        more='"Networks":[{"Target":"host"}]',
        refusals={NEWEST: EngineRefusal(201, "ignores it from API 1.44 on")},
    ),
    _service(
        "A service in the host's network, by its id",
        "namespaces.service-network",
        "TaskTemplate.Networks.0.Target",
        None,
        task='"Networks":[{"Target":"<host_net>"}]',
    ),
    _service(
        "A service with a port of the host",
        "ports.range",
        "EndpointSpec.Ports.0.PublishedPort",
        80,
        more='"EndpointSpec":{"Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":80,"PublishMode":"host"}]}',
    ),
    _service(
        "A service with a log driver that sends elsewhere",
        "logging.driver",
        "TaskTemplate.LogDriver.Name",
        "syslog",
        task='"LogDriver":{"Name":"syslog","Options":{"syslog-address":"tcp://127.0.0.1:1"}}',
    ),
    _service(
        "A service that is a plugin",
        "swarm.runtime",
        "TaskTemplate.Runtime",
        "plugin",
        task='"Runtime":"plugin","PluginSpec":{"name":"x","remote":"y/z:1","privileges":[{"name":"network","value":["host"]}]}',
    ),
    _swarm.row(
        "A service updated to a bind",
        post(
            "/services/<service>/update?version=<service_version>",
            service('"Mounts":[{"Type":"bind","Source":"/etc","Target":"/h"}]', name="web"),
        ),
        "mounts.source",
        shows("/services/web", f"Spec.{_C}.Mounts.0.Source", "/etc"),
        **SECTIONS_CLOSED,
    ),
    _swarm.row(
        "A service set back to what it was",
        post(
            "/services/<service>/update?version=<service_version>&rollback=previous",
            service(name="web"),
        ),
        "swarm.rollback",
        shows("/services/web", "PreviousSpec.Name", "web"),
        **SECTIONS_CLOSED,
    ),
    _swarm.row(
        "The swarm's join tokens",
        get("/swarm"),
        SECTION,
        returns("JoinTokens.Manager"),
        **_NOT_STRICT,
    ),
    _swarm.row("The swarm's unlock key", get("/swarm/unlockkey"), SECTION, ANSWERED, **_NOT_STRICT),
    _swarm.row(
        "A foreign certificate authority for the swarm",
        post(
            "/swarm/update?version=<swarm_version>",
            '{"Name":"default","CAConfig":{"NodeCertExpiry":7776000000000000,"ExternalCAs":[{"Protocol":"cfssl","URL":"https://127.0.0.1:1","CACert":""}]}}',
        ),
        "swarm.ca",
        shows("/swarm", "Spec.CAConfig.ExternalCAs.0.URL", "https://127.0.0.1:1"),
        **SECTIONS_CLOSED,
    ),
    _swarm.row(
        "A foreign swarm joined",
        post(
            "/swarm/join",
            '{"ListenAddr":"127.0.0.1:1","RemoteAddrs":["127.0.0.1:1"],"JoinToken":"x"}',
        ),
        "swarm.join",
        ANSWERED,
        refusals=on_all(EngineRefusal(503, "is in a swarm")),
        **SECTIONS_CLOSED,
    ),
    _swarm.row(
        "Another swarm",
        post(
            "/swarm/init",
            '{"ListenAddr":"127.0.0.1:1","AdvertiseAddr":"127.0.0.1","Spec":{"CAConfig":{"SigningCAKey":"x"}}}',
        ),
        "swarm.ca",
        ANSWERED,
        refusals=on_all(EngineRefusal(503, "is in a swarm")),
        **SECTIONS_CLOSED,
    ),
    _swarm.row(
        "A node made a manager",
        post(
            "/nodes/<node>/update?version=<node_version>",
            '{"Role":"manager","Availability":"drain"}',
        ),
        "swarm.manager",
        shows("/nodes/<node>", "Spec.Availability", "drain"),
        **SECTIONS_CLOSED,
    ),
    _swarm.row(
        "A secret from a driver",
        post("/secrets/create", '{"Name":"<name>","Driver":{"Name":"<driver>"}}'),
        "swarm.driver",
        shows("/secrets/<name>", "Spec.Driver.Name", "<driver>"),
        **SECTIONS_CLOSED,
    ),
    _swarm.row(
        "A config that is a template",
        post("/configs/create", '{"Name":"<name>","Data":"e3s=","Templating":{"Name":"golang"}}'),
        "swarm.driver",
        shows("/configs/<name>", "Spec.Templating.Name", "golang"),
        **SECTIONS_CLOSED,
    ),
    _swarm.row(
        "A config's data",
        get("/configs/conf"),
        SECTION,
        returns("Spec.Data", "eA=="),
        **_NOT_STRICT,
    ),
)

_plugins = Table("plugins", "Plugins, and dockerd itself")

PLUGINS: Final = (
    _plugins.row(
        "A plugin out of an archive",
        RequestTemplate("POST", "/plugins/create?name=<name>", plugin("one"), (TAR,)),
        "plugins.create",
        shows("/plugins/<name>:latest/json", "Name", "<name>:latest"),
        **SECTIONS_CLOSED,
    ),
    _plugins.row(
        "A plugin out of a multipart body",
        RequestTemplate(
            "POST",
            "/plugins/create?name=<name>",
            plugin("two"),
            (("Content-Type", "multipart/form-data"),),
        ),
        "request.body-form",
        shows("/plugins/<name>:latest/json", "Name", "<name>:latest"),
    ),
    _plugins.row(
        "A plugin pulled with privileges",
        post("/plugins/pull?remote=127.0.0.1:1/x:1", '[{"Name":"network","Value":["host"]}]'),
        "plugins.install",
        ANSWERED,
        refusals=on_all(EngineRefusal(500, "reaches no registry")),
        **SECTIONS_CLOSED,
    ),
    _plugins.row(
        "A plugin set",
        post("/plugins/guardian:latest/set", '["WHO=me"]'),
        "plugins.change",
        shows("/plugins/guardian:latest/json", "Settings.Env.0", "WHO=me"),
        **SECTIONS_CLOSED,
    ),
    _plugins.row(
        "A plugin enabled",
        post("/plugins/guardian:latest/enable?timeout=1"),
        "plugins.change",
        ANSWERED,
        refusals=on_all(EngineRefusal(500, "cannot run this one")),
        **SECTIONS_CLOSED,
    ),
    _plugins.row(
        "A plugin removed",
        RequestTemplate("DELETE", "/plugins/guardian:latest?force=1"),
        "plugins.change",
        removes("/plugins/guardian:latest/json"),
        **SECTIONS_CLOSED,
    ),
    _plugins.row("Every plugin's settings", get("/plugins"), SECTION, ANSWERED, **_NOT_STRICT),
    _plugins.row("What dockerd holds", get("/system/df"), SECTION, ANSWERED, **_NOT_STRICT),
)
