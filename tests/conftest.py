"""Fixtures that many tests share: a real OPA program, and one that serves a profile."""

from __future__ import annotations

import copy
import gc
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import coverage
import hypothesis
import pytest

from authz_plugin import policy, settings
from authz_plugin.engine import binary, child
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.settings import Key, Settings
from tests.harness.embedded_policy import EmbeddedEngine, embedded_policy
from tests.harness.policy_opa import PolicyOpa, running_policy_opa

gc.set_threshold(100_000, 50, 50)  # the searches for garbage took a tenth of the processor time

MakeEngine = Callable[..., EmbeddedEngine]

hypothesis.settings.register_profile("any-machine", deadline=None)
hypothesis.settings.load_profile("any-machine")
MakeOpa = Callable[..., Path]

_HERE: Final = Path(__file__).parent
_SLOWEST_FIRST: Final = (
    "test_adversary.py",
    "fleet/test_uploads.py",
    "tools/test_rule_authoring.py",
    "fleet/test_fleet.py",
    "test_plugin.py",
    "fleet/test_faults.py",
    "test_silent_allows.py",
    "test_policy_library.py",
    "journal/test_plugin.py",
    "test_oracle.py",
    "faults/test_faults.py",
    "test_corpus.py",
    "tools/importer/test_equivalence.py",
)
"""The files that take the longest. Workers begin with them, so that they end at the same time."""

_UNMEASURED: Final = frozenset(
    {
        "engine/test_builtins.py::test_a_pattern_with_more_than_stars_is_an_error_or_right",
        "engine/test_builtins.py::test_sprintf_with_other_verbs_is_an_error_or_right",
        "engine/test_dependencies.py::test_what_is_not_read_changes_no_decision",
        "engine/test_own_rules.py",
        "journal/test_metrics.py::test_no_request_can_add_a_series",
        "journal/test_recording.py::test_no_text_that_a_rule_compares_is_hidden_but_words_of_commands",
        "test_adversary.py",
        "test_configuration_examples.py",
        "test_corpus.py",
        "test_denials_tell_no_paths.py",
        "test_hostile_settings.py",
        "test_ledger.py",
        "test_oracle.py",
        "test_policy_library.py",
        "test_profile_guarantees.py",
        "test_same_decisions.py",
        "test_silent_allows.py",
        "tools/attack/test_catalogue.py",
        "tools/console/test_policies.py::test_a_changed_rule_of_the_operator_is_seen",
        "tools/explanation/test_changes.py::test_an_explanation_shows_no_secret",
        "tools/explanation/test_gate.py::test_what_a_rule_does_not_state_may_allow_more",
        "tools/importer/test_equivalence.py",
        "tools/replay/test_replay.py::test_edited_policies_are_tried",
    }
)
"""The files and functions that try one thing with many requests or settings, or compile a policy.
Their lines are covered by other tests, and measuring them again would take longer than the tests:
tracing takes the analysis of a policy five times as long."""


_MEASURED_PROCESSES: Final = frozenset(
    {
        "test_a_defect_is_one_sentence_and_no_traceback",
        "test_a_mistake_stops_the_start_in_one_sentence",
        "test_a_second_one_does_not_take_the_socket_away",
        "test_an_opa_of_the_operators_own_decides_with_a_bundle_that_the_plugin_made",
        "test_an_opa_whose_program_is_gone_is_started_when_it_is_back",
        "test_it_decides",  # and what else is asked of the shared plugin
        "test_it_says_what_it_guards_with_and_what_to_do_next",
        "test_no_request_fails_or_is_decided_wrongly_while_the_policy_changes",
        "test_rules_that_need_opas_server_are_decided_by_it",
        "test_sighup_leaves_the_running_policy_where_the_new_one_is_wrong",
        "test_sighup_takes_over_a_first_rule_with_its_test_beside_it",
    }
)
"""The functions in ``test_plugin.py`` that start processes which are measured: what runs in a
plugin's processes only is covered by them. Tracing doubles the time in which a plugin starts, and a
process that is interrupted in a lock of coverage's hangs, so no others are measured."""


def pytest_configure(config: pytest.Config) -> None:
    measure_processes(None)
    measured = coverage.Coverage.current()
    has_workers = "PYTEST_XDIST_WORKER" not in os.environ and config.getoption("dist") != "no"
    if measured is not None and has_workers:
        measured.stop()  # this process runs no test


def measure_processes(measured: coverage.Coverage | None) -> None:
    """Have the processes that a worker starts measured as it is itself, or not at all."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    if measured is not None:
        config = copy.copy(measured.config)
        config.patch = ["subprocess", "_exit"]  # a forked server ends with os._exit
        os.environ["COVERAGE_PROCESS_CONFIG"] = config.serialize()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Measure the coverage of a test function's first cases only, and of nothing in
    ``_UNMEASURED``: measuring doubles the time that a test takes."""
    measured = coverage.Coverage.current()
    if measured is None:
        return (yield)
    file = item.path.relative_to(_HERE).as_posix()
    function = f"{file}::{item.name.partition('[')[0]}"
    _cases[function] += 1
    if _cases[function] <= _MEASURED_CASES and _UNMEASURED.isdisjoint({file, function}):
        has_measured_processes = function.removeprefix("test_plugin.py::") in _MEASURED_PROCESSES
        measure_processes(measured if has_measured_processes else None)
        return (yield)
    measured.stop()
    measure_processes(None)
    try:
        return (yield)
    finally:
        measured.start()  # which has processes measured
        measure_processes(None)


_cases: Counter[str] = Counter()
_MEASURED_CASES: Final = 3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest files first."""
    turns = {_HERE / file: turn for turn, file in enumerate(_SLOWEST_FIRST)}
    items.sort(key=lambda item: turns.get(item.path, len(turns)))


@pytest.fixture(scope="session", autouse=True)
def _collected_once() -> None:
    """Leave the collected tests, a million objects, out of each search for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def opa() -> binary.Opa:
    """The OPA program that `make` installed."""
    return binary.find()


@pytest.fixture(scope="session")
def make_opa(opa: binary.Opa) -> Iterator[MakeOpa]:
    """The sockets of real OPAs, one process for each policy configuration."""
    running: dict[str, child.ChildOpa] = {}
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:

        def make(**configuration: Any) -> Path:
            key = repr(configuration)
            if key not in running:
                home = Path(folder) / str(len(running))
                config = policy.configuration(with_policy(**configuration), LocalHostPaths())
                bundle = policy.assemble(home / "bundle", config, None, opa)
                running[key] = child.start(opa, bundle.folder)
            return running[key].socket

        yield make
        for started in running.values():
            started.stop()


@pytest.fixture(scope="session")
def policy_opa(opa: binary.Opa, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PolicyOpa]:
    """One real OPA for every policy configuration that is only asked for decisions."""
    config = policy.configuration(with_policy(), LocalHostPaths())
    folder = tmp_path_factory.mktemp("policy-opa")
    with running_policy_opa(opa, folder, config) as running:
        yield running


@pytest.fixture(scope="session")
def make_engine() -> Iterator[MakeEngine]:
    """Engines that decide by policy configurations, in this process."""
    with embedded_policy() as engine:

        def make(**configuration: Any) -> EmbeddedEngine:
            config = policy.configuration(with_policy(**configuration), LocalHostPaths())
            return engine(config)

        yield make


@pytest.fixture(scope="session")
def every_profile(make_engine: MakeEngine) -> EmbeddedEngine:
    """An engine that decides for callers of a profile's name by that profile, for all others by
    ``closed``."""
    roles = {
        name: {"callers": [{"user": name}], "profile": name}
        for name in policy.profiles()
        if name != "closed"
    }
    return make_engine(profile="closed", roles=roles)


def with_policy(**configuration: Any) -> Settings:
    """Settings that hold a policy configuration and defaults otherwise."""
    flags: dict[Key, Any] = {(name,): value for name, value in configuration.items()}
    return settings.load(flags | {("config",): "/dev/null"}, {}, policy.config_schema())
