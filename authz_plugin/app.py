"""The plugin's HTTP face: Activate, AuthZReq, AuthZRes, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from authz_plugin.authorizer import Authorizer
from authz_plugin.protocol import ACTIVATION, CONTENT_TYPE, Answer

MESSAGE_LIMIT: Final = 24 << 20
"""Bytes of a message, at most: dockerd shows bodies of up to 4 MiB, in base64, twice."""


def create_app(authorizer: Authorizer, answered: Callable[[float], None] = lambda _: None) -> Flask:
    """The WSGI application that answers dockerd with the decisions of an authorizer.

    ``answered`` is told the seconds that the answer to each report of an outcome took.
    """
    app = Flask("opa-authz", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MESSAGE_LIMIT

    @app.post("/Plugin.Activate")
    def activate() -> Response:
        return Response(ACTIVATION, content_type=CONTENT_TYPE)

    @app.post("/AuthZPlugin.AuthZReq")
    def authz_request() -> Response:
        return _reply(authorizer.authorize(request.get_data(cache=False)))

    @app.post("/AuthZPlugin.AuthZRes")
    def authz_response() -> Response:
        started = time.perf_counter()
        answer = authorizer.acknowledge(request.get_data(cache=False))
        answered(time.perf_counter() - started)
        return _reply(answer)

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        """Whatever is not a message of dockerd's is told so, and is never an allow."""
        message = f"opa-authz did not understand this: {error.name}"
        return _reply(Answer(allow=False, message=message), status=_status(error))

    @app.errorhandler(Exception)
    def fail(error: Exception) -> Response:
        app.logger.error("%s while reading a message", type(error).__name__)
        return _reply(Answer(allow=False, message="opa-authz could not read this message"))

    return app


def _status(error: HTTPException) -> int:
    """dockerd reads a denial from a 200 only; a request for no endpoint of its is a plain 404."""
    return error.code or 200 if request.url_rule is None else 200


def _reply(answer: Answer, status: int = 200) -> Response:
    return Response(answer.to_bytes(), status=status, content_type=CONTENT_TYPE)
