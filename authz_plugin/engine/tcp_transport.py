"""HTTP exchanges with an OPA on TCP or TLS. Only processes that ask one import this module."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping

import requests

from authz_plugin.engine.transport import ANSWER_LIMIT, NO_HEADERS, OpaAddress, UnreachableError
from authz_plugin.errors import EngineError


class TcpTransport:
    """OPA over HTTP or HTTPS on TCP."""

    def __init__(self, opa: OpaAddress, headers: Mapping[str, str]) -> None:
        self._url = opa.url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update(headers)
        if opa.ca is not None:
            self._session.verify = str(opa.ca)
        if opa.certificate is not None:
            self._session.cert = (str(opa.certificate), str(opa.key or opa.certificate))

    def exchange(
        self,
        method: str,
        path: str,
        question: bytes,
        end: float,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> tuple[int, bytes]:
        try:
            with self._session.request(
                method,
                self._url + path,
                data=question,
                headers=dict(headers),
                timeout=max(end - time.monotonic(), 0.001),
                stream=True,
                allow_redirects=False,
            ) as response:
                return response.status_code, _read(response, end)
        except requests.Timeout:
            raise EngineError("OPA did not answer in time") from None
        except requests.ConnectionError:
            raise UnreachableError("OPA cannot be reached") from None
        except requests.RequestException as error:
            raise EngineError(f"OPA cannot be asked: {type(error).__name__}") from None

    def close(self) -> None:
        self._session.close()


def _read(response: requests.Response, end: float) -> bytes:
    answer = io.BytesIO()
    for part in response.iter_content(None):
        answer.write(part)
        if answer.tell() > ANSWER_LIMIT:
            raise EngineError("OPA's answer is too large to be a decision")
        if time.monotonic() > end:
            raise EngineError("OPA did not answer in time")
    return answer.getvalue()
