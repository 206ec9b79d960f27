"""Users, limits, hardening and logs, in one form for containers and services."""

from __future__ import annotations

import json
from typing import Any

import pytest

from authz_plugin import dockerd
from authz_plugin.dockerd.workload import Hardening, Workload
from authz_plugin.errors import Refused

JSON = {"content-type": "application/json"}


def workload(uri: str, body: Any) -> Workload:
    return dockerd.read("POST", uri, JSON, json.dumps(body).encode()).workload


def create(**host_config: Any) -> Workload:
    return workload("/containers/create", {"Image": "x", "HostConfig": host_config})


def limits(found: Workload) -> dict[str, float]:
    return {limit.resource: limit.value for limit in found.limits}


@pytest.mark.parametrize(
    ("user", "sort"),
    [
        ("", "default"),
        ("root", "root"),
        ("root:1000", "root"),
        ("0", "root"),
        ("00", "root"),
        ("+0", "root"),
        ("-0", "root"),
        ("0:1000", "root"),
        ("1000", "numeric"),
        ("1000:0", "numeric"),
        ("www-data", "named"),
        ("Root", "named"),
        ("0x0", "named"),
        ("\u0661", "named"),
        (":1000", "named"),
        (" 0", "named"),
    ],
)
def test_a_user_is_of_a_sort(user: str, sort: str) -> None:
    (found,) = workload("/containers/create", {"Image": "x", "User": user}).users
    assert (found.process, found.sort) == ("container", sort)
    (found,) = workload("/containers/x/exec", {"Cmd": ["x"], "User": user}).users
    assert (found.process, found.sort) == ("exec", sort)


def test_a_container_without_limits_has_none() -> None:
    found = limits(create())
    assert found == {"memory": -1, "cpus": -1, "pids": -1, "swap": -1, "shm": 64 << 20}


@pytest.mark.parametrize(
    ("given", "resource", "value"),
    [
        ({"Memory": 5}, "memory", 5),
        ({"Memory": -1}, "memory", -1),
        ({"NanoCpus": 1_500_000_000}, "cpus", 1.5),
        ({"CpuQuota": 50_000}, "cpus", 0.5),
        ({"CpuQuota": 50_000, "CpuPeriod": 25_000}, "cpus", 2),
        ({"CpuQuota": -1}, "cpus", -1),
        ({"PidsLimit": 7}, "pids", 7),
        ({"PidsLimit": 0}, "pids", -1),
        ({"PidsLimit": -1}, "pids", -1),
        ({"Memory": 5, "MemorySwap": 8}, "swap", 3),
        ({"Memory": 5, "MemorySwap": -1}, "swap", -1),
        ({"Memory": 5}, "swap", 5),
        ({"Memory": 5, "MemorySwap": 5}, "swap", 0),
        ({"MemorySwap": 8}, "swap", 8),
        ({}, "swap", -1),
        ({"ShmSize": 0}, "shm", 64 << 20),
        ({"ShmSize": 9}, "shm", 9),
    ],
)
def test_a_limit_is_what_dockerd_makes_of_it(
    given: dict[str, int], resource: str, value: float
) -> None:
    assert limits(create(**given))[resource] == value


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, {}),
        ({"Memory": 0, "NanoCpus": 0}, {}),
        ({"Memory": -1}, {"memory": -1, "swap": -1}),
        ({"Memory": 5}, {"memory": 5, "swap": -1}),
        ({"Memory": 5, "MemorySwap": 8}, {"memory": 5, "swap": 3}),
        ({"MemorySwap": 8}, {"swap": 8}),
        ({"CpuPeriod": 1000}, {"cpus": -1}),
        ({"CpuQuota": 50_000}, {"cpus": 50}),
        ({"CpuQuota": -1}, {"cpus": -1}),
        ({"CpuQuota": 50_000, "CpuPeriod": 25_000}, {"cpus": 2}),
        ({"PidsLimit": 0}, {"pids": -1}),
        ({"MemorySwap": -1}, {"swap": -1}),
    ],
)
def test_an_update_lists_what_it_changes(change: dict[str, int], found: dict[str, int]) -> None:
    assert limits(workload("/containers/x/update", change)) == found


def test_a_services_limits_are_read_like_a_containers() -> None:
    template = {
        "ContainerSpec": {},
        "Resources": {"Limits": {"MemoryBytes": 5, "NanoCPUs": 10**9}, "SwapBytes": -1},
    }
    found = limits(workload("/services/create", {"TaskTemplate": template}))
    assert found == {"memory": 5, "cpus": 1, "pids": -1, "swap": -1, "shm": 64 << 20}


@pytest.mark.parametrize(
    ("resources", "swap"),
    [
        (None, -1),
        ({"Limits": {"MemoryBytes": 5}}, 5),
        ({"Limits": {"MemoryBytes": 5}, "SwapBytes": 0}, 5),  # engines before 29 pass it over
        ({"Limits": {"MemoryBytes": 5}, "SwapBytes": 8}, 8),
        ({"Limits": {"MemoryBytes": 5}, "SwapBytes": -1}, -1),
        ({"SwapBytes": 8}, -1),
    ],
)
def test_a_task_gets_as_much_swap_as_memory_or_as_it_says(resources: Any, swap: int) -> None:
    template = {"ContainerSpec": {}, "Resources": resources}
    assert limits(workload("/services/create", {"TaskTemplate": template}))["swap"] == swap


def test_an_update_says_what_to_give_with_it() -> None:
    for change, advice in (
        ({"CpuQuota": 5}, "give CpuPeriod with it"),
        ({"CpuPeriod": 5}, "give CpuQuota with it"),
        ({"MemorySwap": 5}, "give Memory with it"),
        ({"MemorySwap": -1}, ""),
    ):
        (limit,) = workload("/containers/x/update", change).limits
        assert limit.advice == advice


@pytest.mark.parametrize(
    ("user", "group"),
    [
        ("", "default"),
        ("1000", "default"),
        ("1000:", "default"),
        ("1000:0", "root"),
        ("1000:00", "root"),
        ("1000:root", "root"),
        ("1000:1000", "numeric"),
        ("1000:www-data", "named"),
        (":0", "root"),
        ("1000:0:5", "root"),
        ("1000::0", "default"),
        ("1000: 0", "named"),
    ],
)
def test_a_user_s_group_is_of_a_sort_too(user: str, group: str) -> None:
    (found,) = workload("/containers/create", {"Image": "x", "User": user}).users
    assert found.group == group
    (found,) = workload("/containers/x/exec", {"Cmd": ["x"], "User": user}).users
    assert found.group == group


CHECKS = [
    ([], False),
    (["NONE"], False),
    (["CMD-SHELL", "true"], True),
    (["CMD", "true"], True),
    (["CMD", "test", "-f", ""], True),
]


@pytest.mark.parametrize(("test", "given"), CHECKS)
def test_a_health_check_has_one_of_the_documented_forms(test: list[str], given: bool) -> None:
    check = {"Healthcheck": {"Test": test, "Interval": 10**9}}
    for found in (
        workload("/containers/create", {"Image": "x", **check}),
        workload("/services/create", {"TaskTemplate": {"ContainerSpec": check}}),
    ):
        assert found.hardening is not None
        assert found.hardening.healthcheck is given
    assert workload("/commit?container=x", check).hardening is None


@pytest.mark.parametrize(
    "test",
    [
        [""],
        ["none"],
        ["NONE", "x"],
        ["CMD-SHELL", "a", "b"],
        ["CMD-SHELL", ""],
        ["CMD", ""],
        ["curl", "localhost"],
    ],
)
@pytest.mark.parametrize("operation", ["create", "service", "update", "commit"])
def test_a_health_check_of_another_form_is_refused(operation: str, test: list[str]) -> None:
    check = {"Healthcheck": {"Test": test}}
    task = {"TaskTemplate": {"ContainerSpec": check}}
    uri, body, field = {
        "create": ("/containers/create", {"Image": "x", **check}, "Healthcheck.Test"),
        "service": ("/services/create", task, "TaskTemplate.ContainerSpec.Healthcheck.Test"),
        "update": (
            "/services/x/update?version=1",
            task,
            "TaskTemplate.ContainerSpec.Healthcheck.Test",
        ),
        "commit": ("/commit?container=x", check, "Healthcheck.Test"),
    }[operation]
    with pytest.raises(Refused) as refusal:
        workload(uri, body)
    assert (refusal.value.rule, refusal.value.field) == ("request.healthcheck", field)


VOLUME = {"type": "tmpfs", "device": "tmpfs", "o": "size=64m,exec,uid=1"}


def test_a_volume_that_is_a_file_system_in_memory_is_a_tmpfs() -> None:
    mount = {
        "Type": "volume",
        "Target": "/x",
        "VolumeOptions": {"DriverConfig": {"Options": VOLUME}},
    }
    for found, target in (
        (workload("/volumes/create", {"Name": "data", "DriverOpts": VOLUME}), "data"),
        (create(Mounts=[mount]), "/x"),
        (
            workload("/services/create", {"TaskTemplate": {"ContainerSpec": {"Mounts": [mount]}}}),
            "/x",
        ),
    ):
        (tmpfs,) = found.tmpfs
        assert (tmpfs.target, tmpfs.options) == (target, ("size", "exec", "uid"))
        assert limits(found)["tmpfs"] == 64 << 20


@pytest.mark.parametrize("o", ["", "size=50%", "size=0x10", "nr_blocks=1,size=1m"])
def test_a_volume_in_memory_without_a_size_that_is_known_has_no_limit(o: str) -> None:
    found = workload("/volumes/create", {"DriverOpts": {"type": "tmpfs", "o": o}})
    assert limits(found)["tmpfs"] == -1


def test_a_volume_in_memory_that_takes_no_size_has_no_limit() -> None:
    found = workload("/volumes/create", {"DriverOpts": {"type": "ramfs", "o": "size=1m,suid"}})
    assert limits(found)["tmpfs"] == -1
    assert found.tmpfs[0].options == ("size", "suid")


def test_a_volume_of_another_type_is_no_tmpfs() -> None:
    assert workload("/volumes/create", {"DriverOpts": {"type": "nfs", "o": "size=1"}}).tmpfs == ()


@pytest.mark.parametrize(
    ("options", "size", "names"),
    [
        ("", -1, ()),
        ("size=64m,exec", 64 << 20, ("size", "exec")),
        ("size=1G,size=2k", 2048, ("size", "size")),
        ("size=50%", -1, ("size",)),
        ("size=", -1, ("size",)),
    ],
)
def test_a_tmpfs_has_a_size_and_options(options: str, size: int, names: tuple[str, ...]) -> None:
    found = create(Tmpfs={"/x": options})
    assert limits(found)["tmpfs"] == size
    assert found.tmpfs[0].options == names


def test_a_tmpfs_among_the_mounts_is_one_too() -> None:
    options = {"SizeBytes": 5, "Options": [["exec"], []]}
    found = create(Mounts=[{"Type": "tmpfs", "Target": "/x", "TmpfsOptions": options}])
    assert (limits(found)["tmpfs"], found.tmpfs[0].options) == (5, ("exec",))
    plain = create(Mounts=[{"Type": "tmpfs", "Target": "/x"}])
    assert limits(plain)["tmpfs"] == -1


def test_the_last_word_on_new_privileges_counts() -> None:
    for options, kept in (
        (["no-new-privileges"], True),
        (["no-new-privileges:true", "no-new-privileges:false"], False),
        (["no-new-privileges=false", "no-new-privileges"], True),
        ([], False),
    ):
        hardening = create(SecurityOpt=options).hardening
        assert hardening is not None
        assert hardening.no_new_privileges is kept


def test_walls_of_containers_and_services() -> None:
    container = workload(
        "/containers/create",
        {
            "Image": "x",
            "Healthcheck": {"Test": ["CMD", "true"]},
            "HostConfig": {"ReadonlyRootfs": True, "CapDrop": ["cap_net_raw", "All"]},
        },
    )
    assert container.hardening == Hardening(
        read_only_root=True,
        no_new_privileges=False,
        dropped=("NET_RAW", "ALL"),
        healthcheck=True,
    )
    spec = {
        "ReadOnly": True,
        "CapabilityDrop": ["ALL"],
        "Privileges": {"NoNewPrivileges": True},
        "Healthcheck": {"Test": ["NONE"]},
    }
    service = workload("/services/create", {"TaskTemplate": {"ContainerSpec": spec}})
    assert service.hardening == Hardening(
        read_only_root=True, no_new_privileges=True, dropped=("ALL",), healthcheck=False
    )


def test_log_drivers_are_read_wherever_they_stand() -> None:
    config = {"Type": "syslog", "Config": {"syslog-address": "udp://x"}}
    (driver,) = create(LogConfig=config).log_drivers
    assert (driver.name, driver.options) == ("syslog", {"syslog-address": "udp://x"})
    named = {"Name": "gelf", "Options": {}}
    template = {"TaskTemplate": {"LogDriver": named}}
    assert workload("/services/create", template).log_drivers[0].name == "gelf"
    spec = {"TaskDefaults": {"LogDriver": named}}
    assert workload("/swarm/update?version=1", spec).log_drivers[0].name == "gelf"
    assert workload("/swarm/init", {"Spec": spec}).log_drivers[0].name == "gelf"
    assert create().log_drivers == ()


def test_ulimits_and_sysctls_are_listed() -> None:
    found = create(Ulimits=[{"Name": "nofile", "Soft": 1, "Hard": 2}, None], Sysctls={"net.x": "1"})
    assert [(u.name, u.soft, u.hard) for u in found.ulimits] == [("nofile", 1, 2)]
    assert [(s.name, s.value) for s in found.sysctls] == [("net.x", "1")]
