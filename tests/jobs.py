"""`engine job` as another program meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

COMMAND = [sys.executable, "-I", "-m", "engine.cli", "job"]


def start(job: object, **environment: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    assert process.stdin is not None
    process.stdin.write((job if isinstance(job, str) else json.dumps(job)) + "\n")
    process.stdin.flush()
    return process


def finish(process: subprocess.Popen[str]) -> tuple[list[dict[str, Any]], int]:
    """All events and the exit status; stdin stays open until the end, as a host keeps it."""
    assert process.stdout is not None
    events = [json.loads(line) for line in process.stdout]
    status = process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    return events, status
