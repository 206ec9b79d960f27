"""The Flask application, for messages that come in an unusual form, and those with TLS."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from authz_plugin.endpoints import ACTIVATE, AUTHZ_MESSAGE_LIMIT, REQUEST, RESPONSE, Endpoints
from authz_plugin.protocol import ACTIVATION, CONTENT_TYPE, Answer

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment


def create_app(endpoints: Endpoints) -> Flask:
    """The WSGI application that answers dockerd."""
    app = Flask("opa-authz", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = AUTHZ_MESSAGE_LIMIT

    @app.post(ACTIVATE)
    def activate() -> Response:
        return Response(ACTIVATION, content_type=CONTENT_TYPE)

    @app.post(REQUEST)
    def authz_request() -> Response:
        return _reply(endpoints.authorize(request.get_data(cache=False)))

    @app.post(RESPONSE)
    def authz_response() -> Response:
        return _reply(endpoints.acknowledge(request.get_data(cache=False)))

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        """Answer a request for an unknown endpoint, or one that cannot be read, with a denial."""
        message = f"opa-authz did not understand this: {error.name}"
        return _reply(Answer(allow=False, message=message).to_bytes(), status=_status(error))

    @app.errorhandler(Exception)
    def fail_in_flask(error: Exception) -> Response:
        return _reply(endpoints.fail(error))

    app.wsgi_app = _FastPath(app.wsgi_app, endpoints)  # type: ignore[method-assign]
    return app


class _FastPath:
    """Answers dockerd's messages without Flask, which takes longer than the decision.

    These are messages on connections with TLS; on a unix socket, ``exchange`` answers them. A
    request is answered here if its path is exactly that of an endpoint, its method is POST and its
    Content-Length is a number of at most ``AUTHZ_MESSAGE_LIMIT``; Flask answers all others. Flask's
    routes call the same functions and send the same status, Content-Type and body.
    """

    def __init__(self, flask: WSGIApplication, endpoints: Endpoints) -> None:
        self._flask = flask
        self._endpoints = endpoints

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer_to = self._endpoints.answers.get(environ["PATH_INFO"])
        length = environ.get("CONTENT_LENGTH", "")
        if answer_to is None or environ["REQUEST_METHOD"] != "POST" or not length.isdecimal():
            return self._flask(environ, start_response)
        if int(length) > AUTHZ_MESSAGE_LIMIT:
            return self._flask(environ, start_response)
        try:
            message = _whole(environ["wsgi.input"], int(length))
        except Exception as error:  # noqa: BLE001 - as Flask's handler does
            body = self._endpoints.fail(error)
        else:
            body = answer_to(message)
        headers = [("Content-Type", CONTENT_TYPE), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]


def _whole(content: InputStream, length: int) -> bytes:
    message = content.read(length)
    if len(message) < length:
        raise EOFError
    return message


def _status(error: HTTPException) -> int:
    """200 at an endpoint, because dockerd reads denials only from that status; else the error's."""
    return error.code or 200 if request.url_rule is None else 200


def _reply(answer: bytes, status: int = 200) -> Response:
    return Response(answer, status=status, content_type=CONTENT_TYPE)
