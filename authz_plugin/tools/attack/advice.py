"""What stops attacks: which rules and profiles of opa-authz, which operations, which engines."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from authz_plugin.dockerd import routes
from authz_plugin.dockerd.uri import read_target
from authz_plugin.tools.attack.row import Attack


def kind(attack: Attack) -> Hashable:
    """Attacks of one kind have one meaning and one advice."""
    operation = _operation(attack) if attack.notice else ""
    return attack.means, attack.open_in, attack.engine, attack.native, operation


def advice(attacks: Sequence[Attack]) -> str:
    """What to do about attacks of one kind that succeeded, or about an operation that is open."""
    one = attacks[0]
    if one.native:
        return f"no plugin can stop it: {one.engine}"
    if one.notice:
        return f"opa-authz: operations: {{{_operation(one)}: deny}}, where nobody needs it"
    rules = ", ".join(sorted({attack.rule or "sections.operation" for attack in attacks}))
    engine = f"; {one.engine}" if one.engine else ""
    if one.open_in:
        allowed = ", ".join(one.open_in)
        return (
            f"opa-authz with profile production [{rules}]; {allowed} allows it on purpose{engine}"
        )
    return f"opa-authz with any shipped profile [{rules}]{engine}"


def _operation(attack: Attack) -> str:
    target = read_target(attack.message.target)
    return routes.match(attack.message.method, target.path, target.query).operation.id
