"""Docker's bodies: each is what dockerd holds once it has decoded it, or refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin.dockerd import gojson, shapes
from authz_plugin.dockerd.gojson import Reading, Shape, Struct
from authz_plugin.dockerd.routes import OPERATIONS
from authz_plugin.errors import Refused
from tests.dockerd.written import body_of
from tests.refusals import refusal_of

ROOT: Final = ["/:/h"]


def read(shape: Shape, text: str) -> tuple[Any, list[str]]:
    reading = Reading()
    return shape.read(gojson.parse(text.encode()), "", reading), reading.unknown


def create(fragment: str) -> tuple[Any, list[str]]:
    return read(shapes.CONTAINER_CREATE, f'{{"Image":"x",{fragment}}}')


def refusal(shape: Shape, text: str) -> Refused:
    return refusal_of(lambda: read(shape, text))


def said(value: Any, zero: Any) -> dict[str, Any]:
    """The fields of a struct that are not zero."""
    return {name: item for name, item in value.items() if item != zero[name]}


NO_HOST_CONFIG: Final = shapes.CONTAINER_CREATE.zero()["HostConfig"]


@pytest.mark.parametrize(
    ("fragment", "host_config"),
    [
        ('"HOSTCONFIG":{"pRiViLeGeD":true,"BINDS":["/:/h"]}', {"Privileged": True, "Binds": ROOT}),
        (
            '"Ho\u017ftConfig":{"Privileged":true,"Bind\u017f":["/:/h"]}',
            {"Privileged": True, "Binds": ROOT},
        ),
        ('"Ho\\u017ftConfig":{"Bind\\u017F":["/:/h"]}', {"Binds": ROOT}),
        ('"HostConfig":{"Networ\u212aMode":"host"}', {"NetworkMode": "host"}),
        ('"HostConfig":{"networ\\u212amode":"host"}', {"NetworkMode": "host"}),
        ('"HostConfig":{"Memory":5,"Resources":{"Memory":9}}', {"Memory": 5}),
        ('"HostConfig":{"MaskedPaths":[]}', {"MaskedPaths": []}),
        ('"HostConfig":{"ReadonlyPaths":[]}', {"ReadonlyPaths": []}),
        ('"HostConfig":{"MaskedPaths":null,"ReadonlyPaths":null}', {}),
        ('"HostConfig":{"CapAdd":"ALL"}', {"CapAdd": ["ALL"]}),
        ('"HostConfig":{"capdrop":"all"}', {"CapDrop": ["all"]}),
        ('"HostConfig":{"Binds":[null]}', {"Binds": [""]}),
        ('"HostConfig":{"Privileged":null,"NetworkMode":null,"Memory":null}', {}),
        ('"HostConfig":{"Binds":null,"Sysctls":null,"Init":null,"LogConfig":null}', {}),
        ('"HostConfig":{"Sysctls":{"a":"1","A":"2"}}', {"Sysctls": {"a": "1", "A": "2"}}),
        ('"HostConfig":{"PidsLimit":0}', {"PidsLimit": 0}),
        ('"HostConfig":{"OomKillDisable":false}', {"OomKillDisable": False}),
        ('"HostConfig":{"ConsoleSize":[1,2,3]}', {"ConsoleSize": [1, 2]}),
        ('"HostConfig":{"Ulimits":[null]}', {"Ulimits": [None]}),
        ('"HostConfig":null', {}),
        ('"HostConfig":{}', {}),
        ('"Tty":true', {}),
    ],
)
def test_a_host_config_is_what_dockerd_decodes(fragment: str, host_config: dict[str, Any]) -> None:
    body, _ = create(fragment)
    assert body["Image"] == "x"
    assert said(body["HostConfig"], NO_HOST_CONFIG) == host_config


@pytest.mark.parametrize(
    ("operation", "sent"),
    [
        ("container.create", '{"name":"web","platform":"linux/amd64"}'),
        ("exec.create", '{"Container":"web"}'),
        ("exec.start", '{"hijack":true,"stdin":true}'),
    ],
)
def test_what_common_clients_send_and_no_engine_reads_is_known(operation: str, sent: str) -> None:
    shape = BODIES[operation]
    assert read(shape, sent) == (shape.zero(), [])


@pytest.mark.parametrize(
    ("fragment", "unknown"),
    [
        ('"Host_Config":{"Privileged":true}', ["Host_Config"]),
        ('"host-config":{"Privileged":true}', ["host-config"]),
        ('"HostConfig":{"Resources":{"Memory":9}}', ["HostConfig.Resources"]),
        ('"Config":{"Image":"y"}', ["Config"]),
        (
            '"HostConfig":{"cap_add":["ALL"],"cap-add":"ALL"}',
            ["HostConfig.cap_add", "HostConfig.cap-add"],
        ),
        ('"HostConfig":{"Mounts":[{"Driver":"local"}]}', ["HostConfig.Mounts[0].Driver"]),
    ],
)
def test_a_field_that_no_engine_reads_changes_nothing_and_is_noted(
    fragment: str, unknown: list[str]
) -> None:
    body, noted = create(fragment)
    assert body["Image"] == "x"
    host_config = said(body["HostConfig"], NO_HOST_CONFIG)
    assert host_config.keys() <= {"Mounts"}
    assert noted == unknown


@pytest.mark.parametrize(
    ("fragment", "field"),
    [
        ('"HostConfig":{"Privileged":false,"privileged":true}', "HostConfig.Privileged"),
        ('"HostConfig":{"privileged":true,"Privileged":false}', "HostConfig.Privileged"),
        ('"HostConfig":{"Binds":["/:/h"]},"HostConfig":{"CapAdd":["ALL"]}', "HostConfig"),
        ('"hostconfig":{"Privileged":true},"HostConfig":{}', "HostConfig"),
        ('"Ho\u017ftConfig":{},"HostConfig":{}', "HostConfig"),
        ('"HostConfig":{"Privileged":true},"HostConfig":null', "HostConfig"),
        ('"HostConfig":null,"HostConfig":{"Privileged":true}', "HostConfig"),
        ('"HostConfig":{"Privileged":true,"Privileged":null}', "HostConfig.Privileged"),
        ('"HostConfig":{"NetworkMode":"host","NetworkMode":null}', "HostConfig.NetworkMode"),
        ('"HostConfig":{"Binds":["/:/h"],"Binds":null}', "HostConfig.Binds"),
        ('"HostConfig":{"Sysctls":{"a":"1"},"Sysctls":{"b":"2"}}', "HostConfig.Sysctls"),
        ('"HostConfig":{"Sysctls":{"a":"1","a":"2"}}', "HostConfig.Sysctls"),
        ('"HostConfig":{"Binds":["/:/h","/etc:/e"],"Binds":["ok:/o"]}', "HostConfig.Binds"),
        ('"HostConfig":{"Binds":["/:/h"],"Binds":[null]}', "HostConfig.Binds"),
        (
            '"HostConfig":{"Mounts":[{"Type":"bind"}],"Mounts":[{"Target":"/x"}]}',
            "HostConfig.Mounts",
        ),
        ('"HostConfig":{"Mounts":[{}],"Mounts":[],"Mounts":[{}]}', "HostConfig.Mounts"),
        ('"HostConfig":{"Mounts":[{"Source":"/a","source":"/"}]}', "HostConfig.Mounts[0].Source"),
        (
            '"HostConfig":{"Mounts":[{"VolumeOptions":{"DriverConfig":{"Options":{"o":"a","o":"b"}}}}]}',
            "HostConfig.Mounts[0].VolumeOptions.DriverConfig.Options",
        ),
        (
            '"HostConfig":{"Devices":[{"PathOnHost":"/dev/sda"}],"Devices":[null]}',
            "HostConfig.Devices",
        ),
        ('"HostConfig":{"PortBindings":{"80":[],"80/tcp":[]}}', "HostConfig.PortBindings"),
        ('"HostConfig":{"PortBindings":{"80/tcp":[],"80/TCP":[]}}', "HostConfig.PortBindings"),
        ('"HostConfig":{"PortBindings":{"080/udp":[],"80/udp":[]}}', "HostConfig.PortBindings"),
        ('"ExposedPorts":{"80":{},"80/":{}}', "ExposedPorts"),
        ('"Labels":{"a":"1"},"labels":{"b":"2"}', "Labels"),
        ('"Labels":{"a":"1","a":"2"}', "Labels"),
        ('"image":"y"', "Image"),
        (
            '"NetworkingConfig":{"EndpointsConfig":{"a":{},"a":{}}}',
            "NetworkingConfig.EndpointsConfig",
        ),
    ],
)
def test_what_go_would_merge_or_take_the_last_of_is_refused(fragment: str, field: str) -> None:
    refused = refusal(shapes.CONTAINER_CREATE, f'{{"Image":"x",{fragment}}}')
    assert (refused.rule, refused.field) == ("request.body-duplicate", field)
    assert refused.hint == "give it once"


@pytest.mark.parametrize(
    ("fragment", "field"),
    [
        ('"HostConfig":{"Memory":1.0}', "HostConfig.Memory"),
        ('"HostConfig":{"Memory":1e3}', "HostConfig.Memory"),
        ('"HostConfig":{"Memory":9223372036854775808}', "HostConfig.Memory"),
        ('"HostConfig":{"Memory":"1"}', "HostConfig.Memory"),
        ('"HostConfig":{"BlkioWeight":65536}', "HostConfig.BlkioWeight"),
        ('"HostConfig":{"BlkioWeight":-1}', "HostConfig.BlkioWeight"),
        ('"HostConfig":{"ConsoleSize":[-1,0]}', "HostConfig.ConsoleSize[0]"),
        ('"HostConfig":{"Privileged":"true"}', "HostConfig.Privileged"),
        ('"HostConfig":{"Privileged":1}', "HostConfig.Privileged"),
        ('"HostConfig":{"NetworkMode":{}}', "HostConfig.NetworkMode"),
        ('"HostConfig":{"Binds":"/:/h"}', "HostConfig.Binds"),
        ('"HostConfig":{"Binds":{"0":"/:/h"}}', "HostConfig.Binds"),
        ('"HostConfig":{"SecurityOpt":"seccomp=unconfined"}', "HostConfig.SecurityOpt"),
        ('"HostConfig":{"CapAdd":{"0":"ALL"}}', "HostConfig.CapAdd"),
        ('"HostConfig":{"CapAdd":["ALL",1]}', "HostConfig.CapAdd[1]"),
        ('"HostConfig":{"Sysctls":[]}', "HostConfig.Sysctls"),
        ('"HostConfig":{"Sysctls":{"a":1}}', "HostConfig.Sysctls['a']"),
        ('"HostConfig":{"Mounts":{}}', "HostConfig.Mounts"),
        ('"HostConfig":{"Mounts":[["bind"]]}', "HostConfig.Mounts[0]"),
        ('"HostConfig":{"Mounts":[{"BindOptions":[]}]}', "HostConfig.Mounts[0].BindOptions"),
        ('"HostConfig":{"Devices":["/dev/sda"]}', "HostConfig.Devices[0]"),
        ('"HostConfig":{"MaskedPaths":{}}', "HostConfig.MaskedPaths"),
        ('"HostConfig":[]', "HostConfig"),
        ('"HostConfig":"x"', "HostConfig"),
        ('"HostConfig":false', "HostConfig"),
        ('"Env":{"A":"b"}', "Env"),
        ('"Labels":["a"]', "Labels"),
        ('"Cmd":1', "Cmd"),
        ('"StopTimeout":"1"', "StopTimeout"),
        ('"ExposedPorts":["80"]', "ExposedPorts"),
        ('"ExposedPorts":{"80":[]}', "ExposedPorts['80']"),
        (
            '"NetworkingConfig":{"EndpointsConfig":{"a":[]}}',
            "NetworkingConfig.EndpointsConfig['a']",
        ),
    ],
)
def test_what_dockerd_answers_with_400_is_refused(fragment: str, field: str) -> None:
    refused = refusal(shapes.CONTAINER_CREATE, f'{{"Image":"x",{fragment}}}')
    assert (refused.rule, refused.field) == ("request.body-type", field)


def test_a_volume_driver_of_any_real_length_is_read_and_no_longer_one() -> None:
    body, _ = create(f'"HostConfig":{{"VolumeDriver":"{"d" * 255}"}}')
    assert body["HostConfig"]["VolumeDriver"] == "d" * 255
    refused = refusal(shapes.CONTAINER_CREATE, f'{{"HostConfig":{{"VolumeDriver":"{"d" * 256}"}}}}')
    assert (refused.rule, refused.field) == ("request.body-size", "HostConfig.VolumeDriver")


SAID: Final = {
    gojson.Bool: "true",
    gojson.String: '"x"',
    gojson.Integer: "1",
    gojson.StringOrSlice: '"x"',
    gojson.Slice: "[null]",
    gojson.Array: "[1,1]",
    gojson.Map: '{"k":null}',
    gojson.Pointer: "{}",
    gojson.Struct: '{"Name":"x","Type":"x"}',
}
OLD: Final = [*shapes.CONTAINER_CREATE.fields["HostConfig"].element.fields.items()]  # type: ignore[attr-defined]


def something(shape: Shape) -> str:
    """A value that is not the zero value of a type."""
    if type(shape) is gojson.Pointer:
        return something(shape.element)
    return SAID[type(shape)]


@pytest.mark.parametrize(("name", "shape"), [*OLD, ("Cpuset", gojson.String())])
@pytest.mark.parametrize("rest", ["", ',"HostConfig":null', ',"HostConfig":{}'])
def test_a_host_config_field_at_the_top_level_is_refused(
    name: str, shape: Shape, rest: str
) -> None:
    structs = [shapes.COMMIT] if name == "Runtime" else [shapes.CONTAINER_CREATE, shapes.COMMIT]
    for written in (name, name.lower(), name.upper().replace("S", "\u017f")):
        text = f'{{"{written}":{something(shape)}{rest}}}'
        for struct in structs:
            refused = refusal(struct, text)
            assert (refused.rule, refused.field) == ("request.body-old-shape", name)
            assert refused.hint == f"give it as HostConfig.{name}"


@pytest.mark.parametrize("host_config", ["", ',"HostConfig":null', ',"HostConfig":{}'])
@pytest.mark.parametrize("name", ["Runtime", "runtime", "RUNTIME"])
def test_a_runtime_at_the_top_level_stands_beside_that_of_host_config(
    name: str, host_config: str
) -> None:
    body, unknown = create(f'"{name}":"kata"{host_config}')
    assert (body["Runtime"], body["HostConfig"]["Runtime"], unknown) == ("kata", "", [])


@pytest.mark.parametrize(
    ("fragment", "rule"),
    [
        ('"Runtime":"runc","runtime":"kata"', "request.body-duplicate"),
        ('"Runtime":{}', "request.body-type"),
    ],
)
def test_a_runtime_at_the_top_level_has_one_meaning(fragment: str, rule: str) -> None:
    refused = refusal(shapes.CONTAINER_CREATE, f"{{{fragment}}}")
    assert (refused.rule, refused.field) == (rule, "Runtime")


@pytest.mark.parametrize(
    "fragment",
    [
        '"Privileged":false',
        '"Binds":[]',
        '"Binds":null',
        '"Memory":0',
        '"Mounts":null',
        '"Init":null',
    ],
)
def test_a_field_at_the_top_level_that_says_nothing_is_passed_over(fragment: str) -> None:
    body, unknown = create(fragment)
    assert body == {**shapes.CONTAINER_CREATE.zero(), "Image": "x"}
    assert unknown == []


def test_masked_paths_at_the_top_level_say_something_when_they_are_empty() -> None:
    refused = refusal(shapes.CONTAINER_CREATE, '{"MaskedPaths":[]}')
    assert (refused.rule, refused.field) == ("request.body-old-shape", "MaskedPaths")


def test_a_wrong_type_at_the_top_level_is_refused_as_engines_before_27_do() -> None:
    refused = refusal(shapes.CONTAINER_CREATE, '{"Privileged":"no"}')
    assert (refused.rule, refused.field) == ("request.body-type", "Privileged")


@pytest.mark.parametrize("name", ["Cmd", "Entrypoint", "Shell"])
def test_a_command_may_be_a_plain_string(name: str) -> None:
    assert create(f'"{name}":"sh -c x"')[0][name] == ["sh -c x"]
    assert create(f'"{name}":["sh","-c"]')[0][name] == ["sh", "-c"]


@pytest.mark.parametrize("name", ["Cmd", "Env"])
def test_the_command_of_an_exec_is_a_list(name: str) -> None:
    refused = refusal(shapes.EXEC_CREATE, f'{{"{name}":"id"}}')
    assert (refused.rule, refused.field) == ("request.body-type", name)


@pytest.mark.parametrize(
    ("operation", "text", "field", "value"),
    [
        (
            "container.update",
            '{"restartpolicy":{"name":"always"}}',
            "RestartPolicy",
            {"Name": "always", "MaximumRetryCount": 0},
        ),
        ("container.update", '{"Memory":-1}', "Memory", -1),
        ("container.copy", '{"resource":"/etc/passwd"}', "Resource", "/etc/passwd"),
        ("container.checkpoint.create", '{"checkpointdir":"/x"}', "CheckpointDir", "/x"),
        ("exec.create", '{"PRIVILEGED":true}', "Privileged", True),
        ("exec.start", '{"Detach":true}', "Detach", True),
        ("exec.start", '{"ConsoleSize":[1,2]}', "ConsoleSize", [1, 2]),
        ("volume.create", '{"driveropts":{"o":"bind"}}', "DriverOpts", {"o": "bind"}),
        ("volume.create", '{"ClusterVolumeSpec":{}}', "Driver", ""),
        ("network.create", '{"option\u017f":{"parent":"eth0"}}', "Options", {"parent": "eth0"}),
        ("network.create", '{"ConfigFrom":{"Network":"x"}}', "ConfigFrom", {"Network": "x"}),
        ("network.connect", '{"container":"web"}', "Container", "web"),
        ("network.disconnect", '{"Force":true}', "Force", True),
        ("swarm.join", '{"RemoteAddrs":["evil:2377"]}', "RemoteAddrs", ["evil:2377"]),
        ("swarm.unlock", '{"unloc\u212akey":"x"}', "UnlockKey", "x"),
        (
            "swarm.update",
            '{"EncryptionConfig":{"AutoLockManagers":true}}',
            "EncryptionConfig",
            {"AutoLockManagers": True},
        ),
        ("node.update", '{"Role":"manager"}', "Role", "manager"),
        ("secret.create", '{"Data":"aGk="}', "Data", "aGk="),
        ("config.update", '{"Name":"x"}', "Name", "x"),
        (
            "service.create",
            '{"TaskTemplate":{}}',
            "Mode",
            {"Replicated": None, "Global": None, "ReplicatedJob": None, "GlobalJob": None},
        ),
    ],
)
def test_each_body_holds_what_its_operation_reads(
    operation: str, text: str, field: str, value: Any
) -> None:
    shape = OPERATIONS[operation].body
    assert isinstance(shape, Struct)
    assert read(shape, text)[0][field] == value


@pytest.mark.parametrize(
    ("operation", "text", "field"),
    [
        ("container.update", '{"CpuShares":1.5}', "CpuShares"),
        ("exec.create", '{"Privileged":"true"}', "Privileged"),
        ("exec.start", '{"ConsoleSize":{}}', "ConsoleSize"),
        ("volume.create", '{"DriverOpts":{"o":["bind"]}}', "DriverOpts['o']"),
        ("network.create", '{"IPAM":{"Config":{}}}', "IPAM.Config"),
        ("network.connect", '{"EndpointConfig":{"GwPriority":"1"}}', "EndpointConfig.GwPriority"),
        ("swarm.init", '{"DataPathPort":-1}', "DataPathPort"),
        ("swarm.init", '{"Spec":{"CAConfig":{"ExternalCAs":{}}}}', "Spec.CAConfig.ExternalCAs"),
        (
            "service.create",
            '{"TaskTemplate":{"ContainerSpec":{"CapabilityAdd":"ALL"}}}',
            "TaskTemplate.ContainerSpec.CapabilityAdd",
        ),
        (
            "service.update",
            '{"UpdateConfig":{"MaxFailureRatio":"1"}}',
            "UpdateConfig.MaxFailureRatio",
        ),
        ("secret.create", '{"Data":"?"}', "Data"),
        ("plugin.pull", '{"Name":"network"}', "body"),
        ("plugin.pull", '[{"Value":"host"}]', "[0].Value"),
        ("plugin.set", '"X=1"', "body"),
        ("plugin.set", '["X=1",2]', "[1]"),
    ],
)
def test_each_body_refuses_what_its_operation_cannot_read(
    operation: str, text: str, field: str
) -> None:
    shape = OPERATIONS[operation].body
    assert shape is not None
    assert shape != "stream"
    refused = refusal(shape, text)
    assert (refused.rule, refused.field) == ("request.body-type", field)


BODIES: Final = {
    operation.id: operation.body
    for operation in OPERATIONS.values()
    if operation.body is not None and operation.body != "stream"
}


def test_an_empty_body_is_the_zero_value_of_every_operations_type() -> None:
    for shape in BODIES.values():
        assert read(shape, "null")[0] == shape.zero()


def parts(shape: Any) -> Iterator[Struct]:
    if isinstance(shape, Struct):
        yield shape
        for field in shape.fields.values():
            yield from parts(field)
    elif hasattr(shape, "element"):
        yield from parts(shape.element)


def test_no_two_fields_of_a_body_fold_to_one() -> None:
    for shape in BODIES.values():
        for struct in parts(shape):
            assert len({gojson.fold(name) for name in struct.fields}) == len(struct.fields)


@given(st.data())
def test_any_body_is_held_whole_however_it_is_written(data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(sorted(BODIES)))
    canonical, written = data.draw(body_of(BODIES[operation]))
    read_back, unknown = read(BODIES[operation], written)
    assert read_back == canonical
    assert json.dumps(read_back, sort_keys=True) == json.dumps(canonical, sort_keys=True)
    assert unknown == []
