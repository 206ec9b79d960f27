"""Into containers that are there already."""

from __future__ import annotations

import json
from typing import Any, Final

from authz_plugin.tools.attack.catalogue.shorthand import (
    DEVCONTAINER,
    MEANS_EXEC,
    MEANS_FILES,
    NO_CONTAINER,
    archive,
    post,
    sending,
)
from authz_plugin.tools.attack.row import TAR, Attack, Family, Message, Proof
from authz_plugin.tools.validation.probes import NOTHING

RUNNING: Final = Family("running", "Into containers that are there already")

_PLANTED: Final = "opa-authz-attack.txt"


def _exec(id_: str, what: str, body: dict[str, Any], **more: Any) -> Attack:
    message = post("/containers/<own>/exec", json.dumps({"Cmd": ["sh"], **body}))
    return sending(RUNNING, id_, what, message, granted=NO_CONTAINER, means=MEANS_EXEC, **more)


def _checkpoint(id_: str, what: str, path: str, body: str) -> Attack:
    message = post(f"/containers/{NOTHING}/{path}", body)
    return sending(
        RUNNING, id_, what, message, granted=NO_CONTAINER, rule="mounts.source", means=MEANS_FILES
    )


ROWS: Final = (
    _exec("exec", "A privileged exec", {"Privileged": True}, rule="privileged.exec",
          command="docker exec --privileged <container> sh"),
    _exec("exec-case", "A privileged exec, its key in other case", {"pRIVILEGED": True},
          rule="privileged.exec"),
    _exec("exec-root", "An exec as root", {"User": "0:0"}, rule="users.exec",
          open_in=DEVCONTAINER, command="docker exec --user 0:0 <container> sh"),
    _exec("exec-zeros", "An exec as 00", {"User": "00"}, rule="users.exec", open_in=DEVCONTAINER),
    sending(RUNNING, "exec-start", "The start of an exec that somebody has made",
            post(f"/exec/{NOTHING}/start", '{"Detach":true}'), granted="No such exec instance",
            rule="", open_in=DEVCONTAINER, means=MEANS_EXEC),
    sending(RUNNING, "archive", "A file written into a container",
            Message("PUT", "/containers/<own>/archive?path=/", archive({_PLANTED: "planted"}),
                    (TAR,)),
            proof=Proof(f"/containers/<own>/archive?path=/{_PLANTED}", form="tar"),
            granted=NO_CONTAINER, rule="", open_in=DEVCONTAINER,
            command="docker cp file <container>:/",
            means="programs and settings of a container are replaced, and what it has mounted"),
    _checkpoint("checkpoint", "A checkpoint into a folder of the host", "checkpoints",
                '{"CheckpointID":"none","CheckpointDir":"/etc"}'),
    _checkpoint("checkpoint-start", "A start from a checkpoint in a folder of the host",
                "start?checkpoint=none&checkpoint-dir=/etc", ""),
)  # fmt: skip
