"""docs/reference/policy-configuration.md: tested examples, and every key, from the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from authz_plugin import policy
from authz_plugin.configuration import complete_profile
from authz_plugin.hostpaths import LocalHostPaths
from tests.generate.rules import FOLDER, rule_link

Asked = tuple[str, str, dict[str, Any] | None]
"""Method, path and body."""


@dataclass(frozen=True)
class Example:
    """A piece of configuration, what it allows, and what it denies by which rule."""

    title: str
    text: str
    yaml: str
    allowed: tuple[Asked, ...]
    denied: Mapping[str, Asked]
    caller: str = ""


def _create(host: dict[str, Any] | None = None, name: str = "web", **config: Any) -> Asked:
    body = {"Image": "alpine:3.22", "HostConfig": host or {}, **config}
    return ("POST", f"/containers/create?name={name}", body)


_LIST: Final[Asked] = ("GET", "/containers/json", None)
_VOLUMES: Final[Asked] = ("GET", "/volumes", None)

EXAMPLES: Final = (
    Example(
        "Sections and operations",
        "A section is `none`, `read` or `write`. `operations` allows or denies single "
        "[operations](operations.md), whatever their section says.",
        "profile: production\n"
        "sections: {volumes: read, exec: none}\n"
        "operations: {network.list: allow, container.logs: deny}\n",
        (_VOLUMES, ("GET", "/networks", None)),
        {"sections.operation": ("GET", "/containers/web/logs?stdout=1", None)},
    ),
    Example(
        "Roots",
        "`mounts.allow` lists host directories (roots) that may be bind-mounted, with everything"
        " below them. Both the path as written and the path after resolving the host's symbolic"
        " links must be below a root.",
        "profile: production\n"
        "mounts:\n"
        "  allow: [{path: /srv/data}, {path: /srv/shared, read_only: true}]\n",
        (_create({"Binds": ["/srv/data/web:/data", "/srv/shared:/shared:ro"]}),),
        {
            "mounts.source": _create({"Binds": ["/srv:/srv"]}),
            "mounts.read-only": _create({"Binds": ["/srv/shared:/shared"]}),
        },
    ),
    Example(
        "Folders of a root",
        "Whoever can write to a root can replace a folder in it by a symbolic link. With"
        " `subfolders: no-restart`, the default, a container that dockerd restarts by itself may"
        " not mount a folder of a writable root. With `allow`, any container may. With `deny`, only"
        " the root itself may be mounted, or a volume on it with a subpath"
        " ([why](../explanation/decisions/0009-what-a-container-has-is-judged-again.md)).",
        "profile: devcontainer\nmounts: {allow: [{path: /srv/data}], subfolders: no-restart}\n",
        (
            _create({"Binds": ["/srv/data/web:/data"]}),
            _create({"Binds": ["/srv/data:/data"], "RestartPolicy": {"Name": "always"}}),
        ),
        {
            "mounts.subfolders": _create(
                {"Binds": ["/srv/data/web:/data"], "RestartPolicy": {"Name": "always"}}
            ),
        },
    ),
    Example(
        "Builds for an agent",
        "The profile `agent` denies builds, because no request can limit what a build uses:"
        " BuildKit ignores the limits in the request, and a hostile client can hide them. Limit"
        " builds on the host before you allow them. The steps of a build run below dockerd's"
        ' `cgroup-parent`, as containers do: set `{"cgroup-parent": "docker.slice"}` in daemon.json'
        " and `MemoryMax=`, `CPUQuota=` and `TasksMax=` in that slice. A build can name another"
        " parent, which a plugin does not always see, so this limits only clients that make"
        " mistakes. For hostile clients, limit the machine, or the user of a rootless dockerd."
        " Builds cannot exceed these limits.",
        "profile: agent\nsections: {build: write}\n",
        (("POST", "/build?t=app", None),),
        {"build.network": ("POST", "/build?t=app&networkmode=host", None)},
    ),
    Example(
        "Capabilities, devices, namespaces",
        "A list replaces the list of the profile.",
        "profile: production\n"
        "capabilities: {allow: [NET_BIND_SERVICE]}\n"
        "devices: {allow: [/dev/ttyUSB0]}\n"
        'namespaces: {allow: ["pid:container"]}\n',
        (
            _create({"CapAdd": ["net_bind_service"], "PidMode": "container:app"}),
            _create({"Devices": [{"PathOnHost": "/dev/ttyUSB0"}]}),
        ),
        {
            "capabilities.add": _create({"CapAdd": ["CHOWN"]}),
            "devices.mapping": _create({"Devices": [{"PathOnHost": "/dev/sda"}]}),
            "namespaces.host": _create({"PidMode": "host"}),
        },
    ),
    Example(
        "Networks and ports",
        "Networks are allowed by name. A network that a client names by its id must be listed by"
        " its id.",
        "profile: production\n"
        'networks: {join: ["shop-*"], default_bridge: false}\n'
        "ports:\n"
        "  ranges: [{first: 8000, last: 8999}]\n"
        "  addresses: [127.0.0.1]\n",
        (
            _create(
                {
                    "NetworkMode": "shop-front",
                    "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
                }
            ),
        ),
        {
            "networks.join": _create({"NetworkMode": "bank"}),
            "networks.default-bridge": _create(),
            "ports.range": _create(
                {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "80"}]}}
            ),
            "ports.address": _create({"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}),
        },
    ),
    Example(
        "Patterns",
        "In a list of names, `*` stands for any text, and `*` alone allows every name. The table "
        "of keys says where it does. Other lists are written in full, because a pattern would also "
        "match what is not meant, such as a path with `..`: `opa-authz check` refuses a `*` there "
        'and says what to write. An empty name, `""`, stands for a request that gives none.',
        "profile: production\n"
        "operations: {network.create: allow}\n"
        'networks: {drivers: ["*"], options: ["com.docker.network.driver.*"]}\n',
        (
            ("POST", "/networks/create", {"Name": "front"}),
            (
                "POST",
                "/networks/create",
                {
                    "Name": "front",
                    "Driver": "overlay",
                    "Options": {"com.docker.network.driver.mtu": "1400"},
                },
            ),
        ),
        {
            "networks.option": (
                "POST",
                "/networks/create",
                {"Name": "front", "Options": {"com.docker.network.bridge.name": "br0"}},
            ),
        },
    ),
    Example(
        "Images and registries",
        "A pattern is compared with the whole reference; `alpine` stands for"
        " `docker.io/library/alpine`.",
        "profile: production\n"
        "operations: {image.pull: allow}\n"
        'images: {allow: ["registry.example.com/shop/*"], digest: required}\n'
        "registries: {allow: [registry.example.com]}\n",
        (_create(Image=f"registry.example.com/shop/web@sha256:{'a' * 64}"),),
        {
            "images.source": _create(Image=f"alpine@sha256:{'a' * 64}"),
            "images.digest": _create(Image="registry.example.com/shop/web:1"),
            "registries.host": ("POST", "/images/create?fromImage=ghcr.io/team/app&tag=1", None),
        },
    ),
    Example(
        "Ceilings",
        "Limits in `required` must be set. No limit may exceed its ceiling in `max`. A request that"
        " sets no limit exceeds every ceiling.",
        "profile: production\n"
        "resources:\n"
        "  required: [memory, pids]\n"
        "  max: {memory: 512m, pids: 200}\n",
        (_create({"Memory": 256 << 20, "PidsLimit": 100}),),
        {
            "resources.required": _create({"Memory": 256 << 20}),
            "resources.max": _create({"Memory": 1 << 30, "PidsLimit": 100}),
        },
    ),
    Example(
        "Labels and log drivers",
        "A required label must have one of the values that are listed for it; `*` stands for any"
        " value.",
        "profile: production\n"
        'labels: {required: {team: [shop, bank], ticket: ["*"]}}\n'
        'logging: {drivers: ["", local]}\n',
        (_create({"LogConfig": {"Type": "local"}}, Labels={"team": "shop", "ticket": "A-1"}),),
        {
            "labels.required": _create(Labels={"team": "shop"}),
            "logging.driver": _create(
                {"LogConfig": {"Type": "syslog"}}, Labels={"team": "shop", "ticket": "A-1"}
            ),
        },
    ),
    Example(
        "Who asks",
        "The plugin identifies a caller by its TLS client certificate (`opa-authz identity add` "
        "makes one). A caller on the unix socket is not identified. The first role whose `callers` "
        "match is the caller's role. Its keys replace those at the top level. With "
        "`unmatched_callers: deny`, callers without a role are denied.",
        "profile: production\n"
        "unmatched_callers: deny\n"
        "roles:\n"
        "  proxy:\n"
        "    callers: [{user: traefik}]\n"
        "    profile: traefik\n"
        "  admin:\n"
        "    callers: [{certificate: {OU: operators}}]\n"
        "    sections: {volumes: write}\n",
        (_LIST,),
        {"sections.operation": ("POST", "/containers/web/stop", None)},
        caller="traefik",
    ),
    Example(
        "Tenants",
        "Everything that a tenant creates must have the tenant's names and labels, and the "
        "tenant's lists must be filtered by these labels. The plugin keeps no state: an object "
        "belongs to a tenant if its name matches.",
        "profile: closed\n"
        "roles:\n"
        "  shop:\n"
        "    callers: [{user: shop}]\n"
        "    profile: production\n"
        '    tenancy: {names: ["shop-*"], labels: {tenant: shop}}\n'
        "    mounts: {allow: [{path: /srv/shop}]}\n",
        (
            _create(name="shop-web", Labels={"tenant": "shop"}),
            ("POST", "/containers/shop-web/stop", None),
        ),
        {
            "tenancy.name": ("POST", "/containers/bank-web/stop", None),
            "tenancy.label": _create(name="shop-web"),
            "tenancy.filter": _LIST,
        },
        caller="shop",
    ),
    Example(
        "Exceptions",
        "An exception allows one value of one rule, for an image or a role, until a day, and "
        "states the reason. The value is the one in the denial. `opa-authz exceptions` lists "
        "the exceptions. Warnings start two weeks before an exception expires.",
        "profile: production\n"
        "exceptions:\n"
        "  - rule: capabilities.add\n"
        "    value: SYS_PTRACE\n"
        '    when: {image: "registry.example.com/tools/profiler:2.1"}\n'
        "    expires: 2099-01-31\n"
        "    reason: The profiler reads other processes' memory; until it uses perf (OPS-412).\n",
        (
            _create({"CapAdd": ["SYS_PTRACE"]}, Image="registry.example.com/tools/profiler:2.1"),
        ),
        {"capabilities.add": _create({"CapAdd": ["SYS_PTRACE"]})},
    ),
    Example(
        "Warn mode",
        "With `mode: warn`, or `warn` for a single rule, a request that would be denied is "
        "allowed, and the log lists the rules under `warnings`. [learn](../how-to/learn.md) "
        "proposes a configuration from the requests that were allowed.",
        "profile: production\n"
        "rules: {images.latest: warn, mounts.source: enforce}\n"
        "images: {latest: false}\n",
        (_create(Image="alpine"),),
        {"mounts.source": _create({"Binds": ["/srv:/srv"]})},
    ),
)  # fmt: skip

_HEAD: Final = f"""\
# Policy configuration

The policy configuration names a [profile](profiles.md) and the keys that differ from it. It is in
the same file as the plugin's own [settings](settings.md). A list replaces the profile's list; a map
is merged with the profile's map. With an unknown key or a wrong value, the plugin does not start
and names the line; `opa-authz check` checks this beforehand. After a change, reload the plugin. If
the changed configuration is not valid, the plugin keeps the old one.

A denial names the rule that denies, and [the rules]({FOLDER}/README.md) name the keys on which
each rule depends. `opa-authz explain` shows the smallest change that would allow a request.
"""

_KEYS: Final = """\
## Every key

A key that a profile does not set has the value of the profile `closed`, which is listed here as the
default.

| key | default | |
|---|---|---|"""


def configuration_page() -> str:
    """The page: the examples, then one row a key."""
    lines = [_HEAD]
    for example in EXAMPLES:
        lines += [f"## {example.title}", "", example.text, ""]
        lines += ["```yaml", example.yaml.rstrip(), "```", ""]
        lines += [_rules(example), ""]
    closed = complete_profile("closed", LocalHostPaths())
    lines.append(_KEYS)
    for key, schema in _keys(policy.config_schema()["properties"]):
        lines.append(f"| `{key}` | {_default(closed, key)} | {_description(schema)} |")
    return "\n".join(lines) + "\n"


def _rules(example: Example) -> str:
    return f"Denied by: {', '.join(map(rule_link, example.denied))}."


def _keys(properties: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, schema in properties.items():
        if "the plugin fills" in schema.get("description", ""):
            continue
        yield f"{prefix}{name}", schema
        if prefix == "" or name == "max":
            yield from _keys(schema.get("properties", {}), f"{prefix}{name}.")


def _default(closed: Mapping[str, Any], key: str) -> str:
    value: Any = closed
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return ""
        value = value[part]
    if isinstance(value, Mapping | list) and value:
        return "" if isinstance(value, Mapping) else ", ".join(f"`{_said(v)}`" for v in value)
    return f"`{_said(value)}`"


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    return '""' if value == "" else str(value)


def _description(schema: Mapping[str, Any]) -> str:
    values = schema.get("enum") or schema.get("items", {}).get("enum")
    text = schema.get("description", "").replace("|", "\\|")
    if values:
        text += f" One of {', '.join(f'`{_said(value)}`' for value in values)}."
    return str(text)
