"""Access to containers that already exist."""

from __future__ import annotations

import json
from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import (
    DEVCONTAINER,
    IMPACT_EXEC,
    IMPACT_FILES,
    NO_CONTAINER,
    archive,
    entry,
    post,
)
from authz_plugin.tools.attack.model import TAR, CatalogueAttack, Family, Proof, RequestTemplate
from authz_plugin.tools.validation.probes import NOTHING

RUNNING: Final = Family("running", "Into containers that are there already")

_PLANTED: Final = "opa-authz-attack.txt"


def _exec(id_: str, title: str, body: dict[str, Any], **more: Any) -> CatalogueAttack:
    request = post("/containers/<own>/exec", json.dumps({"Cmd": ["sh"], **body}))
    return entry(
        RUNNING, id_, title, request, success_errors=NO_CONTAINER, impact=IMPACT_EXEC, **more
    )


def _checkpoint(id_: str, title: str, path: str, body: str) -> CatalogueAttack:
    request = post(f"/containers/{NOTHING}/{path}", body)
    return entry(
        RUNNING,
        id_,
        title,
        request,
        success_errors=NO_CONTAINER,
        rule="mounts.source",
        impact=IMPACT_FILES,
    )


ROWS: Final = (
    _exec("exec", "A privileged exec", {"Privileged": True}, rule="privileged.exec",
          command="docker exec --privileged <container> sh"),
    _exec("exec-case", "A privileged exec, its key in other case", {"pRIVILEGED": True},
          rule="privileged.exec"),
    _exec("exec-root", "An exec as root", {"User": "0:0"}, rule="users.exec",
          allowed_by=DEVCONTAINER, command="docker exec --user 0:0 <container> sh"),
    _exec("exec-zeros", "An exec as 00", {"User": "00"}, rule="users.exec",
          allowed_by=DEVCONTAINER),
    entry(RUNNING, "exec-start", "The start of an exec that somebody has made",
          post(f"/exec/{NOTHING}/start",
               '{"Detach":true}'), success_errors="No such exec instance",
          rule="", allowed_by=DEVCONTAINER, impact=IMPACT_EXEC),
    entry(RUNNING, "archive", "A file written into a container",
          RequestTemplate("PUT", "/containers/<own>/archive?path=/", archive({_PLANTED: "planted"}),
                  (TAR,)),
          proof=Proof(f"/containers/<own>/archive?path=/{_PLANTED}", form="tar"),
          success_errors=NO_CONTAINER, rule="", allowed_by=DEVCONTAINER,
          command="docker cp file <container>:/",
          impact="programs and settings of a container are replaced, and what it has mounted"),
    _checkpoint("checkpoint", "A checkpoint into a folder of the host", "checkpoints",
                '{"CheckpointID":"none","CheckpointDir":"/etc"}'),
    _checkpoint("checkpoint-start", "A start from a checkpoint in a folder of the host",
                "start?checkpoint=none&checkpoint-dir=/etc", ""),
)  # fmt: skip
