"""Paths and forms of the request target."""

from __future__ import annotations

from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import get, post
from authz_plugin.tools.attack.model import RequestTemplate
from tests.real.attacks.model import (
    ANSWERED,
    IS_PRIVILEGED,
    NOT_IN_PRODUCTION,
    PRIVILEGED,
    SECTION,
    WEBSOCKET,
    AttackCase,
    EngineRefusal,
    Table,
    on_all,
    returns,
)

_paths = Table("path", "Paths and forms of the request target")
_NO_ROUTE: Final = on_all(EngineRefusal(404, "has no such route", asks_plugin=False))
_REDIRECTED: Final = on_all(EngineRefusal(301, "redirects to the clean path", asks_plugin=False))


def _path(title: str, target: str, **more: Any) -> AttackCase:
    return _paths.create(
        title, PRIVILEGED, "privileged.container", *IS_PRIVILEGED, target=target, **more
    )


PATHS: Final = (
    _path("Without a version", "/containers/create?name=<name>"),
    _path("An encoded slash", "/v1.41/containers%2Fcreate?name=<name>"),
    _path("Encoded letters", "/v1%2e41/%63ontainers/%63reate?name=<name>"),
    _path("A version with a zero in front", "/v01.41/containers/create?name=<name>"),
    _path("A version with a dot behind", "/v1.41./containers/create?name=<name>"),
    _path("A version with a zero in the minor", "/v1.041/containers/create?name=<name>"),
    _path("Absolute form", "http://evil/v1.41/containers/create?name=<name>"),
    _path("Absolute form of any scheme", "x:/containers/create?name=<name>"),
    _path("Absolute form with a user", "https://a:b@c:1/containers/create?name=<name>"),
    _path("An unknown parameter", "/containers/create?name=<name>&/_ping"),
    _path("A double slash", "//containers/create?name=<name>", refusals=_REDIRECTED),
    _path("A dot segment", "/info/../containers/create?name=<name>", refusals=_REDIRECTED),
    _path(
        "An encoded dot segment", "/info/%2e%2e/containers/create?name=<name>", refusals=_REDIRECTED
    ),
    _path("A slash at the end", "/containers/create/?name=<name>", refusals=_NO_ROUTE),
    _path("Another case", "/Containers/create?name=<name>", refusals=_NO_ROUTE),
    _path("Encoded twice", "/%2563ontainers/create?name=<name>", refusals=_NO_ROUTE),
    _path(
        "A method in lower case",
        "/containers/create?name=<name>",
        method="post",
        refusals=_NO_ROUTE,
    ),
    _paths.row(
        "HTTP/2 without TLS: the preface",
        RequestTemplate("PRI", "*", protocol="HTTP/2.0"),
        None,
        ANSWERED,
        refusals=on_all(EngineRefusal(301, "takes it for HTTP/1, redirects", asks_plugin=False)),
    ),
    _paths.create(
        "The name given twice",
        PRIVILEGED,
        "request.query",
        *IS_PRIVILEGED,
        target="/containers/create?name=<name>&name=other",
    ),
    _paths.row(
        "A harmless path in the query of an export",
        get("/containers/running/export?x=/containers/json"),
        SECTION,
        ANSWERED,
        devcontainer=None,
        strict=None,
    ),
    _paths.row(
        "An encoded letter in archive",
        get("/containers/running/arc%68ive?path=/etc"),
        SECTION,
        ANSWERED,
        devcontainer=None,
        strict=None,
    ),
    _paths.row(
        "An encoded letter in attach/ws",
        get("/containers/running/%61ttach/ws?stream=1&stdout=1", *WEBSOCKET),
        SECTION,
        ANSWERED,
        devcontainer=None,
        strict=None,
    ),
    _paths.row(
        "An export named like a list",
        get("/images/get?names=busybox:test&x=/images/json"),
        SECTION,
        ANSWERED,
        devcontainer=None,
        strict=None,
    ),
    _paths.row(
        "An exec by a link's alias: containers/mine/aka/exec",
        post("/containers/mine/aka/exec", '{"Cmd":["sh"],"Privileged":true}'),
        "privileged.exec",
        returns("Id"),
        **NOT_IN_PRODUCTION,
    ),
    _paths.create(
        "A link",
        {"HostConfig": {"Links": ["running:aka"]}},
        "networks.link",
        "HostConfig.Links.0",
        "/running:/<name>/aka",
    ),
    _paths.create(
        "A link whose alias is another container's name",
        {"HostConfig": {"Links": ["running:../user-x"]}},
        "networks.link",
        "HostConfig.Links.0",
        "/running:/user-x",
    ),
)
