"""Spellings of a request target that dockerd routes alike, and a guard possibly does not."""

from __future__ import annotations

from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import (
    CREATE,
    IMPACT_EXEC,
    IMPACT_PRIVILEGED,
    IS_PRIVILEGED,
    NO_CONTAINER,
    PRIVILEGED,
    container_entry,
    entry,
    post,
)
from authz_plugin.tools.attack.model import JSON, CatalogueAttack, Family, RequestTemplate
from authz_plugin.tools.validation.probes import NOTHING

TARGETS: Final = Family("path", "Paths and forms of the request target")

_QUERY: Final = "?name=<name>"
_UNROUTED: Final = "request.unknown-operation"
_UNCLEAN: Final = "request.uri"


def _path(
    id_: str, title: str, target: str, *, method: str = "POST", rule: str = "privileged.container"
) -> CatalogueAttack:
    request = RequestTemplate(method, target, PRIVILEGED, (JSON,))
    return container_entry(
        TARGETS, id_, title, request, IS_PRIVILEGED, rule=rule, impact=IMPACT_PRIVILEGED
    )  # fmt: skip


def _on_missing(id_: str, title: str, request: RequestTemplate, **more: Any) -> CatalogueAttack:
    """Return an attack on a container that does not exist."""
    return entry(TARGETS, id_, title, request, success_errors=NO_CONTAINER, **more)


ROWS: Final = (
    _path("version", "With the API's version", f"/v1.<minor>{CREATE}"),
    _path("version-zero", "A version with a zero in front", f"/v01.<minor>{CREATE}"),
    _path("version-zeros", "A version with a zero in the minor", f"/v1.0<minor>{CREATE}"),
    _path("version-dot", "A version with a dot behind", f"/v1.<minor>.{CREATE}"),
    _path("version-long", "A version of four numbers", f"/v1.<minor>.0.0{CREATE}"),
    _path("encoded-slash", "An encoded slash", f"/containers%2Fcreate{_QUERY}"),
    _path("encoded-letters", "Encoded letters", f"/v1%2e<minor>/%63ontainers/%63reate{_QUERY}"),
    _path("encoded-twice", "Letters encoded twice", f"/%2563ontainers/create{_QUERY}",
          rule=_UNROUTED),
    _path("absolute", "Absolute form", f"http://elsewhere/v1.<minor>{CREATE}"),
    _path("absolute-user", "Absolute form with a user", f"https://a:b@elsewhere:1{CREATE}"),
    _path("absolute-scheme", "Absolute form of any scheme", f"x:{CREATE}"),
    _path("parameter", "A harmless path as a parameter", f"{CREATE}&/_ping"),
    _path("name-twice", "The name given twice", f"{CREATE}&name=harmless", rule="request.query"),
    _path("double-slash", "A double slash", f"/{CREATE}", rule=_UNCLEAN),
    _path("dots", "A dot segment", f"/info/..{CREATE}", rule=_UNCLEAN),
    _path("encoded-dots", "An encoded dot segment", f"/info/%2e%2e{CREATE}", rule=_UNCLEAN),
    _path("slash-behind", "A slash at the end", f"/containers/create/{_QUERY}", rule=_UNROUTED),
    _path("case", "Another case", f"/Containers/create{_QUERY}", rule=_UNROUTED),
    _path("method-case", "The method in lower case", CREATE, method="post", rule=_UNROUTED),
    _on_missing("fragment", "A removal whose fragment reads like an inspection",
           RequestTemplate("DELETE", f"/containers/{NOTHING}#/json"), rule=_UNCLEAN,
           impact="a guard that cuts the address at # judges another request than dockerd does"),
    _on_missing("bytes", "A name with bytes that are no text",
           RequestTemplate("DELETE", f"/containers/{NOTHING}\xff"), rule=_UNCLEAN,
           impact="dockerd shows a plugin another name than the one that it acts on"),
    _on_missing("alias", "A privileged exec by the alias of a link: containers/X/alias/exec",
           post(f"/containers/{NOTHING}/alias/exec", '{"Cmd":["sh"],"Privileged":true}'),
           rule="privileged.exec", impact=IMPACT_EXEC),
)  # fmt: skip
