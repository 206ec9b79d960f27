"""Requests whose body dockerd does not pass to its plugins, or whose body overrides the query.

Which bodies are passed depends on the release: moby ``pkg/authorization/authz.go``, before and
after CVE-2024-41110 and CVE-2026-34040.
"""

from __future__ import annotations

from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import (
    CREATE,
    IMPACT_EXEC,
    IMPACT_PRIVILEGED,
    IMPACT_TASKS,
    IS_PRIVILEGED,
    NO_CONTAINER,
    NO_IMAGE,
    NO_MANAGER,
    NO_PLUGIN,
    NO_REGISTRY,
    NOWHERE,
    PRIVILEGED,
    container_entry,
    entry,
    post,
)
from authz_plugin.tools.attack.catalogue.swarm import service
from authz_plugin.tools.attack.model import (
    FORM,
    JSON,
    TEXT,
    CatalogueAttack,
    DockerObject,
    Family,
    Proof,
    RequestTemplate,
)
from authz_plugin.tools.validation.probes import NOTHING

HIDDEN: Final = Family("hidden", "Bodies that a guard does not get to see")

_PADDED: Final = '{<top>,"Env":["X=<mib>"],"HostConfig":{<host>"Privileged":true}}'
_NO_LENGTH: Final = ("Content-Length", "0")
_ELSEWHERE: Final = "127.0.0.1:2"
_CHUNKS: Final = "from 27.1.1, 26.1.5 and 25.0.6 dockerd shows chunked bodies (CVE-2024-41110)"
_LARGE: Final = "from 29.3.1 and 25.0.16 dockerd shows large bodies (CVE-2026-34040)"
_TYPED: Final = "from 23.0 dockerd takes JSON here only if it is called that"
_FORM: Final = "request.body-form"


def _container(id_: str, title: str, request: RequestTemplate, **more: Any) -> CatalogueAttack:
    return container_entry(
        HIDDEN, id_, title, request, IS_PRIVILEGED,
        rule="privileged.container", impact=IMPACT_PRIVILEGED, **more,
    )  # fmt: skip


def _service(
    id_: str, title: str, query: str, *headers: tuple[str, str], **more: Any
) -> CatalogueAttack:
    request = post(f"/services/create{query}", service(), *headers)
    return entry(
        HIDDEN, id_, f"{title}: services/create", request,
        proof=Proof("/services/<name>", "Spec.Name", "<name>"),
        creates=(DockerObject("service"),), success_errors=NO_MANAGER, impact=IMPACT_TASKS, **more,
    )  # fmt: skip


def _plugin(
    id_: str, title: str, query: str, *headers: tuple[str, str], **more: Any
) -> CatalogueAttack:
    request = post(f"/plugins/{NOTHING}/set{query}", '["X=Y"]', *headers)
    return entry(
        HIDDEN, id_, f"{title}: plugins/set", request, success_errors=NO_PLUGIN,
        impact="a managed plugin's mounts, devices and environment change: it is root", **more,
    )  # fmt: skip


def _rename(
    id_: str, title: str, *headers: tuple[str, str], chunked: bool = False
) -> CatalogueAttack:
    target = "/containers/<fresh>/rename?name=harmless"
    return entry(
        HIDDEN, id_, f"{title}: rename", post(target, "name=<name>", *headers, chunked=chunked),
        proof=Proof("/containers/<name>/json", "Name", "/<name>"),
        creates=(DockerObject("container"),), fresh_container=True, success_errors=NO_CONTAINER,
        rule=_FORM,
        impact="the body says otherwise than the address that the guard has judged",
    )  # fmt: skip


ROWS: Final = (
    _container("chunked", "A chunked body", post(CREATE, PRIVILEGED, chunked=True),
               engine_note=_CHUNKS),
    _container("large", "A body of more than 1 MiB", post(CREATE, _PADDED), engine_note=_LARGE),
    _container("large-chunked", "A chunked body of more than 1 MiB",
               post(CREATE, _PADDED, chunked=True), engine_note=_LARGE),
    _container("chunked-empty", "A chunked body that claims Content-Length: 0",
               post(CREATE, PRIVILEGED, JSON, _NO_LENGTH, chunked=True), engine_note=_CHUNKS),
    _container("auth", "A query that ends like the path of a login",
               post(f"{CREATE}&x=/auth", PRIVILEGED)),
    _container("auth-chunked", "A chunked body, and a query that ends like the path of a login",
               post(f"{CREATE}&x=/auth", PRIVILEGED, chunked=True), engine_note=_CHUNKS),
    _container("charset", "Content-Type with a charset",
               post(CREATE, PRIVILEGED, ("Content-Type", "application/json; charset=utf-8"))),
    _container("type-case", "Content-Type in other case",
               post(CREATE, PRIVILEGED, ("content-type", "APPLICATION/JSON"))),
    _container("types", "Two Content-Types, JSON the first",
               post(CREATE, PRIVILEGED, JSON, TEXT)),
    _container("types-chunked", "A chunked body, two Content-Types, JSON the first",
               post(CREATE, PRIVILEGED, JSON, TEXT, chunked=True), engine_note=_CHUNKS),
    _container("continue", "A body after Expect: 100-continue",
               post(CREATE, PRIVILEGED, JSON, ("Expect", "100-continue"))),
    _container("user-header", "Headers that claim another user",
               post(CREATE, PRIVILEGED, JSON, ("Authz-User", "admin"),
                    ("X-Forwarded-User", "root"))),
    _container("method-header", "Headers that claim another method and address",
               post(CREATE, PRIVILEGED, JSON, ("X-HTTP-Method-Override", "GET"),
                    ("X-Original-URL", "/_ping"))),
    entry(HIDDEN, "exec-chunked", "A privileged exec in a chunked body",
          post("/containers/<own>/exec", '{"Cmd":["sh"],"Privileged":true}', chunked=True),
          success_errors=NO_CONTAINER, rule="privileged.exec", engine_note=_CHUNKS,
          impact=IMPACT_EXEC),
    _service("fragment", "A fragment that is no query", "?#%zz", rule="request.uri"),
    _service("escape", "A broken escape in the query", "?%zz", rule="request.query"),
    _service("text", "JSON called text/plain", "", TEXT,
             rule="request.body-withheld", engine_note=_TYPED),
    _service("untyped", "JSON without a Content-Type", "", ("X-Nothing", "1"),
             rule="request.body-withheld", engine_note=_TYPED),
    _service("types-last", "Two Content-Types, JSON the last", "", TEXT, JSON,
             rule="request.body-withheld", engine_note=_TYPED),
    _plugin("fragment-plugin", "A fragment that is no query", "?#%zz",
            rule="request.uri"),
    _plugin("text-plugin", "JSON called text/plain", "", TEXT,
            rule="request.body-withheld", engine_note=_TYPED),
    _rename("form", "A form ahead of the query", FORM),
    _rename("form-broken", "A form with a broken Content-Type", (FORM[0], f"{FORM[1]}; bad")),
    _rename("form-masked", "A chunked form behind a second Content-Type", FORM, TEXT,
            chunked=True),
    _rename("form-json", "A chunked form behind a second Content-Type that is JSON", FORM, JSON,
            chunked=True),
    _rename("form-empty", "A chunked form that claims Content-Length: 0", FORM, _NO_LENGTH,
            chunked=True),
    entry(HIDDEN, "form-tag", "A form ahead of the query: tag",
          post("/images/<image>/tag?repo=harmless", "repo=<name>", FORM),
          proof=Proof("/images/<name>/json", "RepoTags", ["<name>:latest"]),
          creates=(DockerObject("image"),), success_errors=NO_IMAGE, rule=_FORM,
          impact="any image gets any name, whatever name the guard has judged"),
    entry(HIDDEN, "form-pull", "A form ahead of the query: images/create",
          post(f"/images/create?fromImage={_ELSEWHERE}/{NOTHING}&tag=none",
               f"fromImage={NOWHERE}/{NOTHING}", FORM),
          success_errors=NO_REGISTRY, refusal_errors=_ELSEWHERE, rule=_FORM,
          impact="an image of another registry than the one that the guard has judged"),
)  # fmt: skip
