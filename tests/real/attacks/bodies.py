"""Bodies that dockerd hides from a plugin, or in which requests hide."""

from __future__ import annotations

from typing import Final

from authz_plugin.tools.attack.catalogue.builders import post
from authz_plugin.tools.attack.model import FORM, JSON, TEXT, RequestTemplate
from tests.harness.dockerd import IMAGE
from tests.harness.engines import ENGINES
from tests.real.attacks.model import (
    FORM_BODY,
    IS_PRIVILEGED,
    PADDED,
    PRIVILEGED,
    SERVICE_EXISTS,
    WITHHELD,
    EngineRefusal,
    Table,
    after_20,
    on_all,
    service,
    shows,
)

_hidden = Table("hidden", "Bodies that dockerd hides from a plugin, or that hide in it")
_SHOWN: Final = dict.fromkeys(ENGINES[1:], "privileged.container")
_NOT_JSON: Final = after_20(EngineRefusal(400, "takes JSON only"))
HIDDEN: Final = (
    _hidden.create(
        "A chunked body",
        PRIVILEGED,
        "privileged.container",
        *IS_PRIVILEGED,
        chunked=True,
    ),
    _hidden.create(
        "A body of more than 1 MiB",
        PADDED,
        WITHHELD,
        *IS_PRIVILEGED,
        engine_rules=_SHOWN,
    ),
    _hidden.create(
        "A chunked body of more than 1 MiB",
        PADDED,
        WITHHELD,
        *IS_PRIVILEGED,
        chunked=True,
        engine_rules=_SHOWN,
    ),
    _hidden.create(
        "A chunked body that claims Content-Length: 0",
        PRIVILEGED,
        "privileged.container",
        *IS_PRIVILEGED,
        headers=(JSON, ("Content-Length", "0")),
        chunked=True,
    ),
    _hidden.create(
        "A chunked body, and a query that ends like the path of a login",
        PRIVILEGED,
        "privileged.container",
        *IS_PRIVILEGED,
        target="/containers/create?name=<name>&x=/auth",
        chunked=True,
    ),
    _hidden.create(
        "A query that ends like the path of a login",
        PRIVILEGED,
        "privileged.container",
        *IS_PRIVILEGED,
        target="/containers/create?name=<name>&x=/auth",
    ),
    _hidden.row(
        "A fragment that is no query: services/create",
        post("/services/create?#%zz", service()),
        "request.uri",
        SERVICE_EXISTS,
    ),
    _hidden.row(
        "A fragment that is no query: secrets/create",
        post("/secrets/create?#%zz", '{"Name":"<name>","Data":"eA=="}'),
        "request.uri",
        shows("/secrets/<name>", "Spec.Name", "<name>"),
    ),
    _hidden.row(
        "A fragment that is no query: configs/create",
        post("/configs/create?#%zz", '{"Name":"<name>","Data":"eA=="}'),
        "request.uri",
        shows("/configs/<name>", "Spec.Name", "<name>"),
    ),
    _hidden.row(
        "A broken escape in the query: services/create",
        post("/services/create?%zz", service()),
        "request.query",
        SERVICE_EXISTS,
    ),
    _hidden.row(
        "JSON called text/plain: services/create",
        post("/services/create", service(), TEXT),
        WITHHELD,
        SERVICE_EXISTS,
        refusals=_NOT_JSON,
    ),
    _hidden.row(
        "JSON without a Content-Type: services/create",
        post("/services/create", service(), ("X-Nothing", "1")),
        WITHHELD,
        SERVICE_EXISTS,
        refusals=_NOT_JSON,
    ),
    _hidden.row(
        "Two Content-Types, JSON the last: services/create",
        post("/services/create", service(), TEXT, JSON),
        WITHHELD,
        SERVICE_EXISTS,
        refusals=_NOT_JSON,
    ),
    _hidden.create(
        "Two Content-Types, JSON the first",
        PRIVILEGED,
        "privileged.container",
        *IS_PRIVILEGED,
        headers=(JSON, TEXT),
    ),
    _hidden.create(
        "A chunked body, two Content-Types, JSON the first",
        PRIVILEGED,
        "privileged.container",
        *IS_PRIVILEGED,
        headers=(JSON, TEXT),
        chunked=True,
    ),
    _hidden.create(
        "Content-Type with a charset",
        PRIVILEGED,
        "privileged.container",
        *IS_PRIVILEGED,
        headers=(("Content-Type", "application/json; charset=utf-8"),),
    ),
    _hidden.create(
        "Content-Type in other case",
        PRIVILEGED,
        "privileged.container",
        *IS_PRIVILEGED,
        headers=(("content-type", "APPLICATION/JSON"),),
    ),
    _hidden.row(
        "A form ahead of the query: rename",
        post("/containers/form_a/rename?name=fine", "name=<name>", FORM),
        FORM_BODY,
        shows("/containers/<name>/json", "Name", "/<name>"),
    ),
    _hidden.row(
        "A form with a broken Content-Type: rename",
        post("/containers/form_b/rename?name=fine", "name=<name>", (FORM[0], f"{FORM[1]}; bad")),
        FORM_BODY,
        shows("/containers/<name>/json", "Name", "/<name>"),
    ),
    _hidden.row(
        "A chunked form behind a second Content-Type: rename",
        post("/containers/form_c/rename?name=fine", "name=<name>", FORM, TEXT, chunked=True),
        FORM_BODY,
        shows("/containers/<name>/json", "Name", "/<name>"),
    ),
    _hidden.row(
        "A chunked form behind a second Content-Type that is JSON: rename",
        post("/containers/form_d/rename?name=fine", "name=<name>", FORM, JSON, chunked=True),
        FORM_BODY,
        shows("/containers/<name>/json", "Name", "/<name>"),
    ),
    _hidden.row(
        "A chunked form that claims Content-Length: 0: rename",
        post(
            "/containers/form_e/rename?name=fine",
            "name=<name>",
            FORM,
            ("Content-Length", "0"),
            chunked=True,
        ),
        FORM_BODY,
        shows("/containers/<name>/json", "Name", "/<name>"),
    ),
    _hidden.row(
        "A form ahead of the query: tag",
        post(f"/images/{IMAGE}/tag?repo=fine", "repo=<name>", FORM),
        FORM_BODY,
        shows("/images/<name>/json", "RepoTags.0", "<name>:latest"),
    ),
    _hidden.row(
        "A multipart form beside the query: build",
        RequestTemplate(
            "POST",
            "/build?remote=<url>/Dockerfile",
            '--x\r\nContent-Disposition: form-data; name="t"\r\n\r\n<name>\r\n--x--\r\n',
            (("Content-Type", "multipart/form-data; boundary=x"),),
        ),
        FORM_BODY,
        shows("/images/<name>/json", "RepoTags.0", "<name>:latest"),
        refusals=on_all(EngineRefusal(200, "ignores the form")),
    ),
    _hidden.create(
        "A second request behind a harmless one on the same connection",
        PRIVILEGED,
        "privileged.container",
        *IS_PRIVILEGED,
        preceding=b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n",
    ),
    _hidden.create(
        "Expect: 100-continue",
        PRIVILEGED,
        "privileged.container",
        *IS_PRIVILEGED,
        headers=(JSON, ("Expect", "100-continue")),
    ),
    _hidden.create(
        "A header that claims another user",
        PRIVILEGED,
        "privileged.container",
        *IS_PRIVILEGED,
        headers=(JSON, ("Authz-User", "admin"), ("X-Forwarded-User", "root")),
    ),
    _hidden.create(
        "A header that claims another method",
        PRIVILEGED,
        "privileged.container",
        *IS_PRIVILEGED,
        headers=(JSON, ("X-HTTP-Method-Override", "GET"), ("X-Original-URL", "/_ping")),
    ),
)
