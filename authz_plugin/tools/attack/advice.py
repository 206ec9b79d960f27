"""Say what prevents an attack: rules and profiles of opa-authz, operations, engines."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from authz_plugin.dockerd import routes
from authz_plugin.dockerd.uri import read_target
from authz_plugin.tools.attack.model import CatalogueAttack


def advice_key(attack: CatalogueAttack) -> Hashable:
    """Return a key that is equal for attacks with the same impact and the same advice."""
    operation = _operation(attack) if attack.informational else ""
    return attack.impact, attack.allowed_by, attack.engine_note, attack.grpc, operation


def advice(attacks: Sequence[CatalogueAttack]) -> str:
    """Return how to prevent attacks that have the same ``advice_key``; at least first."""
    first = attacks[0]
    if first.grpc:
        return f"no plugin can stop it: {first.engine_note}"
    if first.informational:
        return f"opa-authz: operations: {{{_operation(first)}: deny}}, where nobody needs it"
    rules = ", ".join(sorted({attack.rule or "sections.operation" for attack in attacks}))
    engine_note = f"; {first.engine_note}" if first.engine_note else ""
    if first.allowed_by:
        profiles = ", ".join(first.allowed_by)
        return (
            f"opa-authz with profile production [{rules}]; "
            f"{profiles} allows it on purpose{engine_note}"
        )
    return f"opa-authz with any shipped profile [{rules}]{engine_note}"


def _operation(attack: CatalogueAttack) -> str:
    target = read_target(attack.request.target)
    return routes.match(attack.request.method, target.path, target.query).operation.id
