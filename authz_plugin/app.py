"""The plugin's HTTP endpoints: Activate, AuthZReq and AuthZRes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from authz_plugin.authorizer import Authorizer
from authz_plugin.protocol import ACTIVATION, CONTENT_TYPE, Answer

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

AUTHZ_MESSAGE_LIMIT: Final = 24 << 20
"""The maximum length of a message, in bytes. dockerd sends bodies of up to 4 MiB, in base64; a
report of an outcome contains two."""

_REQUEST: Final = "/AuthZPlugin.AuthZReq"
_RESPONSE: Final = "/AuthZPlugin.AuthZRes"
_EXTENSION: Final = "opa-authz"


def create_app(authorizer: Authorizer, answered: Callable[[float], None] = lambda _: None) -> Flask:
    """The WSGI application that answers dockerd with the decisions of an authorizer.

    ``answered`` is called after each report of an outcome, with the seconds that its answer took.
    """
    app = Flask("opa-authz", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = AUTHZ_MESSAGE_LIMIT

    def acknowledge(message: bytes) -> Answer:
        started = time.perf_counter()
        answer = authorizer.acknowledge(message)
        answered(time.perf_counter() - started)
        return answer

    def fail(error: Exception) -> Answer:
        app.logger.error("%s while answering a message", type(error).__name__)
        return Answer(allow=False, message="opa-authz could not answer this message")

    @app.post("/Plugin.Activate")
    def activate() -> Response:
        return Response(ACTIVATION, content_type=CONTENT_TYPE)

    @app.post(_REQUEST)
    def authz_request() -> Response:
        return _reply(authorizer.authorize(request.get_data(cache=False)))

    @app.post(_RESPONSE)
    def authz_response() -> Response:
        return _reply(acknowledge(request.get_data(cache=False)))

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        """Answer a request for an unknown endpoint, or one that cannot be read, with a denial."""
        message = f"opa-authz did not understand this: {error.name}"
        return _reply(Answer(allow=False, message=message), status=_status(error))

    @app.errorhandler(Exception)
    def fail_in_flask(error: Exception) -> Response:
        return _reply(fail(error))

    asked = {_REQUEST: authorizer.authorize, _RESPONSE: acknowledge}
    direct = {path: _total(ask, fail) for path, ask in asked.items()}
    app.extensions[_EXTENSION] = direct
    app.wsgi_app = _FastPath(app.wsgi_app, direct, fail)  # type: ignore[method-assign]
    return app


def direct_answers(app: Flask) -> Mapping[str, Callable[[bytes], bytes]]:
    """For the paths of AuthZReq and AuthZRes, a function from a message to the body of the answer,
    which is the same as Flask's, with status 200. It does not raise."""
    found: Mapping[str, Callable[[bytes], bytes]] = app.extensions[_EXTENSION]
    return found


def _total(
    ask: Callable[[bytes], Answer], fail: Callable[[Exception], Answer]
) -> Callable[[bytes], bytes]:
    """``ask`` with its answer as bytes, and that of ``fail`` where it raises an exception."""

    def answer(message: bytes) -> bytes:
        try:
            return ask(message).to_bytes()
        except Exception as error:  # noqa: BLE001 - as Flask's handler does
            return fail(error).to_bytes()

    return answer


class _FastPath:
    """Answers AuthZReq and AuthZRes messages without Flask, which takes longer than the decision.

    A request is answered here if its path is exactly one of the two, its method is POST and its
    Content-Length is a number of at most ``AUTHZ_MESSAGE_LIMIT``; Flask answers all others. Flask's
    routes call the same functions and send the same status, Content-Type and body.
    """

    def __init__(
        self,
        flask: WSGIApplication,
        direct: Mapping[str, Callable[[bytes], bytes]],
        fail: Callable[[Exception], Answer],
    ) -> None:
        self._flask = flask
        self._direct = direct
        self._fail = fail

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer_to = self._direct.get(environ["PATH_INFO"])
        length = environ.get("CONTENT_LENGTH", "")
        if answer_to is None or environ["REQUEST_METHOD"] != "POST" or not length.isdecimal():
            return self._flask(environ, start_response)
        if int(length) > AUTHZ_MESSAGE_LIMIT:
            return self._flask(environ, start_response)
        try:
            message = _whole(environ["wsgi.input"], int(length))
        except Exception as error:  # noqa: BLE001 - as Flask's handler does
            body = self._fail(error).to_bytes()
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


def _reply(answer: Answer, status: int = 200) -> Response:
    return Response(answer.to_bytes(), status=status, content_type=CONTENT_TYPE)
