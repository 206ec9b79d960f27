"""The policy of a fleet: fetched by an OPA of its own, checked like a reload, and kept on disk.

OPA polls the service, verifies the signature and activates the bundle. What it has activated is put
in force by the engine, which compiles it and has it decide first. A policy that fails there is
refused, and the one in force stays.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

from authz_plugin import fleet_policy
from authz_plugin.engine import binary, bundle_client
from authz_plugin.engine.bundle_client import BundleClient, UnverifiedError
from authz_plugin.errors import (
    AuthzError,
    EngineError,
    PolicyError,
    SettingsError,
    SetupError,
    defect,
)
from authz_plugin.fleet_policy import FleetPolicy
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.settings import Fleet, Receiver, Settings
from authz_plugin.supervisor.decision_uploads import EVENTS_AT_OPA, DecisionUploads
from authz_plugin.supervisor.policy_status import PutInForce
from authz_plugin.supervisor.runtime_folder import open_runtime_folder

_ASK_EVERY: Final = 1.0
_FIRST_WAIT: Final = 10.0
"""Seconds that a start waits for the service's first answer, if no policy is kept."""

_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 60.0
_RETRY: Final = 10.0
_SILENCE: Final = 60.0
"""Seconds that OPA may not say its status before that is a fault."""

UPLOADS: Final = Path(__file__).parents[1] / "uploads/uploads.rego"
"""The rules that OPA uploads decisions by."""

_UPLOAD_LIMIT: Final = 1 << 19
"""The maximum length of one upload in bytes, compressed. A line has less, and web servers take at
least a MiB."""

_STATUS_PATIENCE: Final = 2
"""Seconds that an upload of OPA's status may take. Meanwhile OPA does not say the status here."""

_RECEIVER: Final = "receiver_"

_PATIENCE: Final = 60.0
"""Seconds that a request of OPA's may take; OPA itself has no limit for the body of an answer."""

_AHEAD: Final = 3600.0
"""Seconds that the builder's clock may be ahead of this host's."""

FIRST_FACTS: Final[Mapping[str, Any]] = {
    "revision": "",
    "built": 0.0,
    "asked": 0.0,
    "up": False,
    "refused": 0,
    "refused_now": False,
    "kept": False,
    "uploads_up": False,
    "uploaded": 0,
    "last_uploaded": 0,
    "unreadable": 0,
}
"""What metrics are told. Times are in seconds since 1970; ``asked`` is that of the last poll that
succeeded, ``refused_now`` whether the newest bundle is refused; ``uploaded`` counts decisions and
outcomes, ``last_uploaded`` is the number of the last one in the spool and ``unreadable`` the number
of those lost there."""


class FleetPolicies:
    """The policies that a service hands out, for one plugin.

    ``say`` is called with each message for the operator.
    """

    def __init__(
        self,
        fleet: Fleet,
        opa: binary.Opa,
        shared_status: SharedStatus,
        say: Callable[[str], None],
    ) -> None:
        self._fleet = fleet
        self._opa = opa
        self._shared_status = shared_status
        self._say = say
        self._folder, self._lock = open_runtime_folder()
        self._client: BundleClient | None = None
        self._uploads = DecisionUploads(fleet.spool_folder) if fleet.decisions else None
        self._generation = 0
        self._files: dict[str, bytes] = {}
        self._policy: FleetPolicy | None = None
        self._rules = self._folder
        self._seen: Any = None
        self._again_at = math.inf
        self._activated = 0.0
        self._without_policy = 0.0
        self._requested = 0.0
        self._requested_at = 0.0
        self._key = b""
        self._kept = False
        self._next_keeping = 0.0
        self._faults = {"up": "", "uploads_up": ""}
        self._answered = time.monotonic()
        self._next = 0.0
        self._delay = _FIRST_DELAY
        self._facts: Mapping[str, Any] = FIRST_FACTS
        self._shared_status.update(fleet=self._facts)

    @classmethod
    def start(
        cls,
        settings: Settings,
        fleet: Fleet,
        shared_status: SharedStatus,
        say: Callable[[str], None],
    ) -> Self:
        """Begin to fetch, and find the policy to start with.

        That is the policy that was in force last. If none is kept, it is the service's, for whose
        answer this waits ten seconds. Raises ``SetupError`` if nothing can be fetched with the
        settings.
        """
        made = cls(fleet, binary.find(settings.opa.binary), shared_status, say)
        try:
            made._start_client()
            made._find_first()
        except BaseException:
            made.close()
            raise
        return made

    def _find_first(self) -> None:
        with contextlib.suppress(OSError):  # told when the policy cannot be kept there
            self._fleet.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            kept = fleet_policy.kept_policy(self._fleet.folder, self._key)
        except SetupError as error:
            self._say(f"the policy that was kept is not used: {error}")
            kept = None
        if kept is not None:
            self._policy, self._rules = kept
            self._kept = True
            self._seen = self._policy.about
            self._note(**_described(self._policy), kept=True)
            return
        end = time.monotonic() + _FIRST_WAIT
        while not (self._policy or self._seen or self._faults["up"]) and time.monotonic() < end:
            time.sleep(0.1)
            policy = self._newer(time.monotonic())
            if policy is not None:
                self._take(policy)
        if self._policy is None:
            self._say("no policy was fetched yet: every request is denied until there is one")

    @property
    def has_policy(self) -> bool:
        return self._policy is not None

    def applied(self, settings: Settings) -> Settings:
        """The settings with the policy of the fleet; says each old name in it. Raises
        ``SetupError`` if there is none."""
        if self._policy is None:
            raise SetupError("no policy was fetched yet")
        found = fleet_policy.with_fleet_policy(settings, self._policy, self._rules)
        for warning in found.warnings:
            self._say(warning)
        return found

    def in_force(self) -> None:
        """Keep the policy that the plugin has started with."""
        self._keep()

    def refuse(self, error: Exception) -> None:
        """Note that the policy to start with cannot be put in force."""
        advice = "" if self._policy is None else fleet_policy.advice(self._policy)
        self._policy = None
        self._refuse(error, advice)

    def check(self, settings: Settings, put_in_force: PutInForce) -> None:
        """Put a newer policy in force, if OPA has one; called several times a second."""
        self._upload()
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _ASK_EVERY
        if self._client is None or self._files_changed():
            self._start_again(now)
            return
        policy = self._newer(now)
        if self._policy is not None and not self._kept and now >= self._next_keeping:
            self._keep()
        if policy is None:
            return
        before = self._policy, self._rules
        try:
            self._take(policy)
            status = put_in_force(self.applied(settings))
        except Exception as error:  # noqa: BLE001 - a defect must not end the plugin
            self._policy, self._rules = before
            self._refuse(error, fleet_policy.advice(policy))
            if not isinstance(error, PolicyError | SettingsError):
                self._seen, self._next = None, now + _RETRY  # it may be this host's fault
        else:
            self._note(refused_now=False)
            self._kept = False
            self._keep()
            self._say(
                f"policy revision {status.revision} of profile {status.profile} is in force, "
                f"from the bundle of revision {policy.revision}"
            )

    def close(self) -> None:
        """Stop OPA, which uploads the last decisions if the service takes them at once."""
        self._upload()
        self._stop(self._client)
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    def _start_client(self) -> None:
        self._generation += 1
        previous, home = self._client, self._folder / f"opa-{self._generation}"
        try:
            files, key = opa_files(self._fleet), self._fleet.key.read_bytes()
            home.mkdir()
            policy = None if self._uploads is None else UPLOADS
            self._client = bundle_client.start(
                self._opa, home, opa_configuration(self._fleet, key), files, policy
            )
        except OSError as error:
            raise SetupError(f"nothing can be fetched: {error}") from error
        if key != self._key:
            self._seen = None  # what is in force may be signed by the key before
        self._files, self._key = files, key
        self._requested, self._requested_at = 0.0, time.monotonic()
        self._stop(previous)
        for folder in self._folder.glob("opa-*"):
            if folder != home:
                shutil.rmtree(folder, ignore_errors=True)

    def _stop(self, client: BundleClient | None) -> None:
        if client is None:
            return
        client.stop()
        if self._uploads is not None:
            self._uploads.stopped(client)

    def _upload(self) -> None:
        """Hand decisions to OPA, and note what it has uploaded."""
        if self._uploads is None or self._client is None or not self._client.is_running():
            return
        self._uploads.check(self._client)
        self._note(
            uploaded=self._uploads.arrived,
            last_uploaded=self._uploads.last_arrived,
            unreadable=self._uploads.lost,
        )

    def _start_again(self, now: float) -> None:
        try:
            self._start_client()
        except SetupError as error:
            self._tell_fault(str(error))
            self._postpone(now)

    def _give_up_client(self, now: float, fault: str) -> None:
        """Stop OPA because of a fault. It is started again, with nothing of what it has fetched,
        after a delay that grows until it has fetched a bundle."""
        self._tell_fault(fault)
        self._stop(self._client)
        self._client = None
        self._postpone(now)

    def _postpone(self, now: float) -> None:
        self._next = now + self._delay
        self._delay = min(self._delay * 2, _LONGEST_DELAY)

    def _files_changed(self) -> bool:
        """Whether a key, a token or a certificate was replaced; OPA is then started again."""
        try:
            return (opa_files(self._fleet), self._fleet.key.read_bytes()) != (
                self._files,
                self._key,
            )
        except OSError:
            return False  # it is being replaced, or OPA goes on with what it has

    def _tell_fault(self, fault: str) -> None:
        url = self._fleet.url
        lasting = f"the policy cannot be fetched from {url}"
        self._tell("up", fault, lasting, f"{url} answers again")

    def _tell_upload_fault(self, fault: str) -> None:
        url = _receiver(self._fleet).url
        lasting = f"decisions are not uploaded to {url}"
        self._tell("uploads_up", fault, lasting, f"{url} takes decisions again")

    def _tell(self, fact: str, fault: str, lasting: str, over: str) -> None:
        """Note whether there is a fault, and say it if it changed; it is empty if there is none.

        ``fact`` is what metrics are told; it is true without a fault. ``lasting`` is what does not
        work because of the fault, ``over`` is said when it has ended.
        """
        if fault != self._faults[fact]:
            self._say(f"{lasting}: {fault}" if fault else over)
        self._faults[fact] = fault
        self._note(**{fact: not fault})

    def _newer(self, now: float) -> FleetPolicy | None:
        """The policy that OPA has fetched, unless it was seen already or is refused here; notes
        what OPA says of the service."""
        if self._client is None:
            return None
        try:
            if not self._ask(self._client, now) or not self._has_unseen(self._client):
                return None
            policy = self._servable(self._client.verified(fleet_policy.ROOT))
        except UnverifiedError as error:
            self._give_up_client(now, str(error))
            return None
        except EngineError as error:
            if now - self._answered > _SILENCE:
                self._tell_fault(str(error))
            return None
        except SetupError as error:
            self._refuse(error)
            return None
        return policy

    def _ask(self, client: BundleClient, now: float) -> bool:
        """Note what OPA says of the service; whether OPA can go on. Raises ``EngineError``."""
        if not client.is_running():
            self._give_up_client(now, "OPA ended, perhaps because the service sent too much")
            return False
        client.trim()
        if now - self._requested_at > self._fleet.interval + _PATIENCE:
            self._give_up_client(now, f"no answer was complete within {_PATIENCE:g} s")
            return False
        status = client.status()
        self._answered = now
        if self._uploads is not None:
            self._tell_upload_fault(self._uploads.fault or status.upload_fault)
        if status.activated and not (status.is_verified or status.fault):
            raise UnverifiedError
        if status.requested != self._requested:
            self._requested, self._requested_at = status.requested, now
            self._note(asked=status.asked or self._facts["asked"])
            self._tell_fault(status.fault)
        if status.is_verified and not status.fault:
            self._activated, self._delay = status.activated, _FIRST_DELAY
        return True

    def _has_unseen(self, client: BundleClient) -> bool:
        """Whether OPA has data that was not seen yet; raises ``EngineError``, and ``PolicyError``
        if it has a bundle without a policy."""
        about = client.read(f"{fleet_policy.ROOT}/about")
        if about is None and self._activated != self._without_policy:
            self._without_policy = self._activated
            fleet_policy.read(None)
        is_seen = about == self._seen and time.time() < self._again_at
        return about is not None and not is_seen

    def _servable(self, document: Any) -> FleetPolicy:
        """The policy in the data of a bundle; raises ``PolicyError`` if it is refused."""
        self._seen = document.get("about") if isinstance(document, Mapping) else None
        self._again_at = math.inf
        policy = fleet_policy.read(document)
        if policy.built.timestamp() > time.time() + _AHEAD:
            self._again_at = policy.built.timestamp() - _AHEAD
            raise PolicyError(
                f"the bundle of revision {policy.revision} was built {policy.built}, which this "
                "host's clock has not reached: correct this clock, or that of the builder and "
                "build it again"
            )
        if self._policy is not None and policy.built < self._policy.built:
            raise PolicyError(
                f"the bundle of revision {policy.revision} was built {policy.built}, before "
                f"the one in force ({self._policy.built}): build it again to go back to it, "
                "after a look at the builder's clock"
            )
        return policy

    def _take(self, policy: FleetPolicy) -> None:
        self._generation += 1
        rules = self._folder / f"rules-{self._generation}"
        try:
            fleet_policy.write_rules(policy, rules)
        except OSError as error:
            raise SetupError(f"the rules of the bundle cannot be written: {error}") from error
        self._policy, self._rules = policy, rules

    def _keep(self) -> None:
        """Keep the policy in force; where the disk is full, try again later."""
        assert self._policy is not None
        self._note(**_described(self._policy))
        try:
            self._rules = fleet_policy.keep(self._policy, self._fleet.folder, self._key)
        except OSError as error:
            if self._next_keeping == 0.0:
                self._say(f"the policy in force cannot be kept for a restart: {error}")
            self._next_keeping = time.monotonic() + _RETRY
        else:
            self._kept, self._next_keeping = True, 0.0
            for folder in self._folder.glob("rules-*"):
                shutil.rmtree(folder, ignore_errors=True)
        self._note(kept=self._kept)

    def _refuse(self, error: Exception, advice: str = "") -> None:
        reason = str(error) if isinstance(error, AuthzError) else f"a defect, {defect(error)}"
        self._note(refused=self._facts["refused"] + 1, refused_now=True)
        self._say(f"the fetched policy is refused, the one in force stays: {reason}{advice}")

    def _note(self, **facts: Any) -> None:
        changed = {**self._facts, **facts}
        if changed != self._facts:
            self._facts = changed
            self._shared_status.update(fleet=changed)


def _described(policy: FleetPolicy) -> dict[str, Any]:
    return {"revision": policy.revision, "built": policy.built.timestamp()}


def opa_configuration(fleet: Fleet, key: bytes) -> dict[str, Any]:
    """The configuration of the OPA that fetches; files are named as ``opa_files`` names them.
    ``key`` is the content of the public key's file."""
    interval = fleet.interval
    delays = {"min_delay_seconds": (interval + 1) // 2, "max_delay_seconds": interval}
    service = _service(fleet, "")
    if fleet.type == "oci":
        service["type"] = "oci"
    if fleet.type == "s3":
        service["credentials"] = _s3_credentials(fleet)
    bundle = {
        "service": "site",
        "resource": resource(fleet),
        "signing": {"keyid": "site"},
        "size_limit_bytes": 4 * fleet_policy.SIZE_LIMIT,
        "polling": delays,
    }
    public = {"algorithm": fleet.algorithm, "key": key.decode(errors="replace")}
    services = {"site": service}
    if fleet.receiver is not None:
        services["receiver"] = _service(fleet.receiver, _RECEIVER)
    uploads: dict[str, Any] = {"status": {"prometheus": True}}
    if fleet.status:
        prefix = "" if fleet.receiver is None else _RECEIVER
        status = _service(_receiver(fleet), prefix)
        services["status"] = {**status, "response_header_timeout_seconds": _STATUS_PATIENCE}
        uploads["status"]["service"] = "status"
    if fleet.decisions:
        uploads["decision_logs"] = {
            "service": "site" if fleet.receiver is None else "receiver",
            "drop_decision": "/authz_plugin/uploads/drop",
            "reporting": {
                "buffer_type": "event",
                "buffer_size_limit_events": 2 * EVENTS_AT_OPA,
                "upload_size_limit_bytes": _UPLOAD_LIMIT,
                **delays,
            },
        }
    return {
        "services": services,
        "labels": dict(fleet.labels),
        "keys": {"site": public},
        "bundles": {bundle_client.BUNDLE: bundle},
        "persistence_directory": bundle_client.PERSISTENCE,
        **uploads,
    }


def resource(fleet: Fleet) -> str:
    """Where the bundle of this host is: ``fleet.bundle`` with the values of the labels."""
    return re.sub(r"\{(\w+)\}", lambda name: fleet.labels[name[1]], fleet.bundle)


def _receiver(fleet: Fleet) -> Fleet | Receiver:
    """The service that takes status and decisions."""
    return fleet if fleet.receiver is None else fleet.receiver


def _service(service: Fleet | Receiver, prefix: str) -> dict[str, Any]:
    """How OPA reaches a service; its files have names with a prefix."""
    found: dict[str, Any] = {
        "url": service.url,
        "response_header_timeout_seconds": 10,
        "credentials": {},
    }
    if service.ca is not None:
        found["tls"] = {"ca_cert": f"{prefix}ca"}
    if service.token_file is not None:
        found["credentials"] = {"bearer": {"token_path": f"{prefix}token"}}
    elif service.certificate is not None:
        files = {"cert": f"{prefix}certificate", "private_key": f"{prefix}client_key"}
        found["credentials"] = {"client_tls": files}
    return found


def _s3_credentials(fleet: Fleet) -> dict[str, Any]:
    if fleet.credentials is None:
        return {"s3_signing": {"environment_credentials": {}}}
    profile = {"path": "credentials", "profile": "default", "aws_region": fleet.region}
    return {"s3_signing": {"profile_credentials": profile}}


def opa_files(fleet: Fleet) -> dict[str, bytes]:
    """The contents of the files that OPA needs, by their names in its folder; raises
    ``OSError``."""
    files = {**_access_files(fleet, ""), "credentials": fleet.credentials}
    if fleet.receiver is not None:
        files |= _access_files(fleet.receiver, _RECEIVER)
    return {name: file.read_bytes() for name, file in files.items() if file is not None}


def _access_files(service: Fleet | Receiver, prefix: str) -> dict[str, Path | None]:
    return {
        f"{prefix}token": service.token_file,
        f"{prefix}ca": service.ca,
        f"{prefix}certificate": service.certificate,
        f"{prefix}client_key": service.client_key,
    }
