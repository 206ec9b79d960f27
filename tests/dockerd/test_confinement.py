"""Capabilities, namespaces and security options: one form for each of dockerd's spellings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin import dockerd
from authz_plugin.dockerd.confinement import Capability, Confinement, Namespace, SecurityOption

SPEC = "TaskTemplate.ContainerSpec"


def confinement(uri: str, body: Any) -> Confinement:
    headers = {"content-type": "application/json"}
    return dockerd.read("POST", uri, headers, json.dumps(body).encode()).confinement


def created(**host_config: Any) -> Confinement:
    return confinement("/containers/create", {"Image": "x", "HostConfig": host_config})


def served(**spec: Any) -> Confinement:
    made = confinement("/services/create", {"TaskTemplate": {"ContainerSpec": spec}})
    updated = confinement("/services/x/update?version=1", {"TaskTemplate": {"ContainerSpec": spec}})
    assert made == updated
    return made


@pytest.mark.parametrize(
    "written",
    [
        "SYS_ADMIN",
        "sys_admin",
        "Sys_Admin",
        "CAP_SYS_ADMIN",
        "cap_sys_admin",
        "Cap_sYS_aDMIN",
        "\u017fys_admin",
        "CAP_SY\u017f_ADMIN",
        "sys_adm\u0131n",
    ],
)
def test_every_spelling_that_go_upper_cases_to_a_capability_is_that_capability(
    written: str,
) -> None:
    assert created(CapAdd=[written]).capabilities == (
        Capability("SYS_ADMIN", "HostConfig.CapAdd[0]"),
    )
    assert served(CapabilityAdd=[written]).capabilities == (
        Capability("SYS_ADMIN", f"{SPEC}.CapabilityAdd[0]"),
    )


@pytest.mark.parametrize("written", ["ALL", "all", "All", "aLL", "CAP_ALL", "cap_all"])
def test_all_capabilities_are_all_in_any_case(written: str) -> None:
    assert created(CapAdd=[written]).capabilities[0].name == "ALL"
    assert created(CapAdd=written).capabilities[0].name == "ALL"


@pytest.mark.parametrize(
    "written", [" SYS_ADMIN", "SYS_ADMIN ", "SYS-ADMIN", "CAP-SYS_ADMIN", "CAPSYS_ADMIN", "", "*"]
)
def test_a_capability_that_dockerd_does_not_know_is_taken_for_no_other(written: str) -> None:
    assert created(CapAdd=[written]).capabilities[0].name == written


def test_a_prefix_is_taken_off_once() -> None:
    assert created(CapAdd=["CAP_CAP_CHOWN"]).capabilities[0].name == "CAP_CHOWN"


def test_each_capability_says_where_it_stands() -> None:
    capabilities = created(CapAdd=["chown", "CAP_BPF"], CapDrop=["ALL"]).capabilities
    assert capabilities == (
        Capability("CHOWN", "HostConfig.CapAdd[0]"),
        Capability("BPF", "HostConfig.CapAdd[1]"),
    )


@given(st.sampled_from(["SYS_PTRACE", "NET_ADMIN", "ALL"]), st.lists(st.booleans(), min_size=14))
def test_no_case_and_no_prefix_changes_a_capability(name: str, upper: list[bool]) -> None:
    for prefix in ("", "CAP_"):
        written = "".join(
            c.upper() if up else c.lower() for c, up in zip(prefix + name, upper, strict=False)
        )
        if len(written) == len(prefix + name):
            assert created(CapAdd=[written]).capabilities[0].name == name


TYPES = [
    ("NetworkMode", "network"),
    ("PidMode", "pid"),
    ("IpcMode", "ipc"),
    ("UTSMode", "uts"),
    ("UsernsMode", "user"),
    ("CgroupnsMode", "cgroup"),
    ("Cgroup", "cgroup"),
]


@pytest.mark.parametrize(("field", "kind"), TYPES)
@pytest.mark.parametrize(
    ("written", "mode", "container"),
    [
        ("host", "host", None),
        ("container:web", "container", "web"),
        ("container:", "container", ""),
        ("container:a:b", "container", "a:b"),
        ("container:host", "container", "host"),
    ],
)
def test_a_namespace_of_the_host_or_of_a_container_is_found(
    field: str, kind: str, written: str, mode: str, container: str | None
) -> None:
    namespaces = created(**{field: written}).namespaces
    assert namespaces == (Namespace(kind, mode, container, f"HostConfig.{field}"),)


@pytest.mark.parametrize(("field", "kind"), TYPES[1:])
@pytest.mark.parametrize(
    "written",
    ["Host", "HOST", " host", "host ", "Container:web", "container", "ho\u017ft", "ns:/x", ":"],
)
def test_a_mode_that_is_nearly_one_is_unknown(field: str, kind: str, written: str) -> None:
    namespaces = created(**{field: written}).namespaces
    assert namespaces == (Namespace(kind, "unknown", None, f"HostConfig.{field}"),)


@pytest.mark.parametrize(
    "written", ["Host", "HOST", "web", "host ", "Container:web", "container", "service:web", ":"]
)
def test_any_other_network_mode_is_the_name_of_a_network(written: str) -> None:
    namespaces = created(NetworkMode=written).namespaces
    assert namespaces == (Namespace("network", "named", None, "HostConfig.NetworkMode"),)


@pytest.mark.parametrize(
    ("field", "modes"),
    [
        ("NetworkMode", ["", "default", "bridge", "none"]),
        ("PidMode", ["", "private"]),
        ("IpcMode", ["", "private", "none", "shareable"]),
        ("UTSMode", ["", "private"]),
        ("UsernsMode", ["", "private"]),
        ("CgroupnsMode", ["", "private"]),
        ("Cgroup", ["", "private"]),
    ],
)
def test_a_namespace_of_the_containers_own_is_none_to_speak_of(
    field: str, modes: list[str]
) -> None:
    for mode in modes:
        assert created(**{field: mode}).namespaces == ()


@pytest.mark.parametrize("field", ["PidMode", "UTSMode", "UsernsMode", "CgroupnsMode", "Cgroup"])
@pytest.mark.parametrize("mode", ["shareable", "none", "default", "bridge"])
def test_a_mode_of_another_namespace_is_unknown(field: str, mode: str) -> None:
    assert [n.mode for n in created(**{field: mode}).namespaces] == ["unknown"]


@pytest.mark.parametrize(
    ("network", "mode", "container"),
    [
        ("host", "host", None),
        ("container:web", "container", "web"),
        ("backend", "named", None),
        ("Host", "named", None),
    ],
)
def test_a_network_beside_the_mode_is_found(network: str, mode: str, container: str | None) -> None:
    body: dict[str, Any] = {"NetworkingConfig": {"EndpointsConfig": {network: None, "bridge": {}}}}
    assert confinement("/containers/create", body).namespaces == (
        Namespace("network", mode, container, f"NetworkingConfig.EndpointsConfig[{network!r}]"),
    )


@pytest.mark.parametrize(
    ("network", "mode"),
    [("host", "host"), ("my_backend", "named"), ("Backend", "named"), ("0" * 65, "named")],
)
def test_the_networks_of_a_service_are_found_at_both_places(network: str, mode: str) -> None:
    spec: dict[str, Any] = {"Networks": [{"Target": "none"}, {"Target": network}]}
    body = {"TaskTemplate": {"ContainerSpec": {}, **spec}, **spec}
    assert confinement("/services/create", body).namespaces == (
        Namespace("network", mode, None, "TaskTemplate.Networks[1].Target"),
        Namespace("network", mode, None, "Networks[1].Target"),
    )


@pytest.mark.parametrize("network", ["", "3", "f" * 64, "x4k", "z" * 25, "backend"])
def test_a_services_network_that_may_be_called_by_an_id_is_unresolved(network: str) -> None:
    body = {"TaskTemplate": {"ContainerSpec": {}, "Networks": [{"Target": network}]}}
    assert confinement("/services/create", body).namespaces == (
        Namespace("network", "unresolved", None, "TaskTemplate.Networks[0].Target"),
    )


@pytest.mark.parametrize(
    ("written", "name", "value"),
    [
        ("seccomp=unconfined", "seccomp", "unconfined"),
        ("seccomp:unconfined", "seccomp", "unconfined"),
        ('seccomp={"defaultAction":"a=b:c"}', "seccomp", '{"defaultAction":"a=b:c"}'),
        ("seccomp=", "seccomp", ""),
        ("seccomp", "seccomp", ""),
        ("apparmor=unconfined", "apparmor", "unconfined"),
        ("apparmor:docker-default", "apparmor", "docker-default"),
        ("label=disable", "label", "disable"),
        ("label:disable", "label", "disable"),
        ("label=user:root", "label", "user:root"),
        ("label:type:spc_t", "label", "type:spc_t"),
        ("label:level=s0", "label:level", "s0"),
        ("disable", "label", "disable"),
        ("no-new-privileges", "no-new-privileges", "true"),
        ("writable-cgroups", "writable-cgroups", "true"),
        ("Seccomp=unconfined", "Seccomp", "unconfined"),
        (" seccomp=unconfined", " seccomp", "unconfined"),
        ("seccomp =unconfined", "seccomp ", "unconfined"),
        ("Disable", "Disable", ""),
        ("no-new-privileges=true=", "no-new-privileges", "true="),
        ("no-new-privileges:true=", "no-new-privileges:true", ""),
        ("systempaths=unconfined", "systempaths", "unconfined"),
        ("", "", ""),
        ("=", "", ""),
    ],
)
def test_a_security_option_is_split_as_dockerd_splits_it(
    written: str, name: str, value: str
) -> None:
    assert created(SecurityOpt=[written]).security_options == (
        SecurityOption(name, value, "HostConfig.SecurityOpt[0]"),
    )


@pytest.mark.parametrize("name", ["no-new-privileges", "writable-cgroups"])
@pytest.mark.parametrize("separator", ["=", ":"])
@pytest.mark.parametrize(
    ("written", "value"),
    [
        *((text, "true") for text in ("1", "t", "T", "TRUE", "true", "True")),
        *((text, "false") for text in ("0", "f", "F", "FALSE", "false", "False")),
        *((text, text) for text in ("", "yes", "no", "tRUE", "on", "01", " true")),
    ],
)
def test_a_flag_takes_the_booleans_that_go_parses_and_no_other(
    name: str, separator: str, written: str, value: str
) -> None:
    (option,) = created(SecurityOpt=[f"{name}{separator}{written}"]).security_options
    assert (option.name, option.value) == (name, value)


def test_options_are_kept_in_order_because_the_last_counts() -> None:
    written = ["no-new-privileges", "seccomp=a", "no-new-privileges=0"]
    options = created(SecurityOpt=written).security_options
    assert [(option.name, option.value) for option in options] == [
        ("no-new-privileges", "true"),
        ("seccomp", "a"),
        ("no-new-privileges", "false"),
    ]
    assert [option.field for option in options] == [
        f"HostConfig.SecurityOpt[{i}]" for i in range(3)
    ]


@pytest.mark.parametrize(
    ("written", "last"),
    [
        (["no-new-privileges"], True),
        (["no-new-privileges=false", "no-new-privileges"], True),
        (["no-new-privileges", "no-new-privileges:f"], False),
        (["no-new-privileges=maybe"], False),
        (["No-New-Privileges"], False),
        ([], False),
    ],
)
def test_new_privileges_are_out_of_reach_only_if_the_last_word_says_so(
    written: list[str],
    last: bool,
) -> None:
    body = json.dumps({"HostConfig": {"SecurityOpt": written}}).encode()
    read = dockerd.read("POST", "/containers/create", {"content-type": "application/json"}, body)
    assert read.workload.hardening is not None
    assert read.workload.hardening.no_new_privileges is last


@pytest.mark.parametrize(
    ("privileges", "options"),
    [
        ({"NoNewPrivileges": True}, [("no-new-privileges", "true", "NoNewPrivileges")]),
        ({"NoNewPrivileges": False}, []),
        ({"Seccomp": {"Mode": "unconfined"}}, [("seccomp", "unconfined", "Seccomp.Mode")]),
        (
            {"Seccomp": {"Mode": "custom", "Profile": "e30="}},
            [("seccomp", "custom", "Seccomp.Mode")],
        ),
        ({"Seccomp": {"Mode": "Unconfined"}}, [("seccomp", "Unconfined", "Seccomp.Mode")]),
        ({"Seccomp": {"Mode": "default"}, "AppArmor": {"Mode": "default"}}, []),
        ({"Seccomp": {}, "AppArmor": {}, "SELinuxContext": {}}, []),
        ({"AppArmor": {"Mode": "disabled"}}, [("apparmor", "disabled", "AppArmor.Mode")]),
        ({"SELinuxContext": {"Disable": True}}, [("label", "disable", "SELinuxContext.Disable")]),
        (
            {"selinuxcontext": {"User": "u", "Role": "r", "Type": "t", "Level": "l"}},
            [
                ("label", "user:u", "SELinuxContext.User"),
                ("label", "role:r", "SELinuxContext.Role"),
                ("label", "type:t", "SELinuxContext.Type"),
                ("label", "level:l", "SELinuxContext.Level"),
            ],
        ),
        ({"CredentialSpec": {"File": "x"}}, [("credentialspec", "", "CredentialSpec")]),
        ({}, []),
        (None, []),
    ],
)
def test_the_privileges_of_a_service_are_security_options(
    privileges: Any, options: list[tuple[str, str, str]]
) -> None:
    assert served(Privileges=privileges).security_options == tuple(
        SecurityOption(name, value, f"{SPEC}.Privileges.{field}") for name, value, field in options
    )


@pytest.mark.parametrize(
    ("uri", "body"),
    [
        ("/containers/create", {}),
        ("/containers/create", {"HostConfig": None, "NetworkingConfig": None}),
        ("/services/create", {"TaskTemplate": {}}),
        ("/services/create", {"TaskTemplate": {"ContainerSpec": None}}),
        ("/services/create", {"TaskTemplate": {"ContainerSpec": {}}}),
        ("/containers/x/exec", {"Privileged": True}),
        ("/commit", {"HostConfig": {"CapAdd": ["ALL"], "PidMode": "host"}}),
    ],
)
def test_a_request_that_asks_for_nothing_more_is_confined_by_default(uri: str, body: Any) -> None:
    assert confinement(uri, body) == Confinement()


@given(st.text(), st.sampled_from([field for field, _ in TYPES]))
def test_no_mode_is_lost(mode: str, field: str) -> None:
    written = mode.encode(errors="replace").decode()
    own = {"", "private", "none", "shareable", "default", "bridge"}
    namespaces = created(**{field: written}).namespaces
    assert len(namespaces) == 1 or written in own


@given(st.lists(st.text(max_size=30), max_size=4))
def test_no_security_option_is_lost(options: list[str]) -> None:
    written = [option.encode(errors="replace").decode() for option in options]
    assert len(created(SecurityOpt=written).security_options) == len(options)
