"""An interrupt ends a tool wherever it is, also while a policy is evaluated."""

from __future__ import annotations

import base64
import os
import random
import signal
import subprocess
import sys
import time

import orjson

_PROGRAM = """
import faulthandler, signal, sys
from authz_plugin import policy, settings
from authz_plugin.tools.sandbox import open_sandbox

faulthandler.register(signal.SIGUSR1)
signal.signal(signal.SIGTERM, signal.default_int_handler)
loaded = settings.load({("config",): "/dev/null"}, {}, policy.config_schema())
message = sys.stdin.buffer.read()
try:
    with open_sandbox(loaded) as sandbox:
        while True:
            assert not sandbox.judge(message).allow
            print("denied", flush=True)
except KeyboardInterrupt:
    sys.exit(1)
"""
_DENIED = orjson.dumps(
    {
        "RequestMethod": "POST",
        "RequestUri": "/v1.44/containers/create",
        "RequestHeaders": {"Content-Type": "application/json"},
        "RequestBody": base64.b64encode(b'{"HostConfig":{"Binds":["/:/h"]}}').decode(),
    }
)


def test_an_interrupt_ends_a_tool_that_evaluates_policies() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        measured = "COVERAGE_PROCESS_CONFIG" in os.environ
        assert not measured, "an interrupt in a lock of coverage's is a hang"
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(_DENIED)
            process.stdin.close()
            process.stdin = None
            process.stdout.readline()
            time.sleep(random.uniform(0, 0.02))
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGUSR1)  # show where it hangs
                time.sleep(1)
                raise
            finally:
                process.kill()
            assert process.returncode == 1
