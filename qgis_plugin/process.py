"""The engine in a process of its own: a job in, events out, one JSON document a line."""

import json
import time
from collections import deque

from qgis.PyQt.QtCore import QCoreApplication, QProcess, QProcessEnvironment

from .interpreter import SOURCE, what_to_do

PROTOCOL = 3
"""The version of the conversation that this plugin speaks; the engine's must be the same."""

DROPPED = ("PYTHON", "PROJ_", "GDAL_", "QT_", "QGIS_", "CPL_", "OGR_")
DROPPED_NAMES = ("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX")
"""What QGIS sets for itself and misleads another Python's GDAL, PROJ and libraries (rasterio#2291, pyproj#1414)."""

START = 60
"""Seconds that the engine has to say hello."""

GOODBYE = 900
"""Milliseconds that a cancelled engine has to end by itself before it is killed."""

LEFT = 4
"""Seconds of work after which the time that is left is told; then again with each tenth of the whole."""

RUNNING = set()
"""The conversations with the engine that are under way."""

LAST = deque(maxlen=60)
"""The last lines of the last conversations with the engine, for a report of a fault."""


class EngineError(Exception):
    """The engine failed, or refused what it was given; the message is for the user."""


class EngineCancelledError(Exception):
    """The user asked to stop.

    Args:
        share: Of the work, as the engine last said.
    """

    def __init__(self, share):
        super().__init__(share)
        self.share = share


def clean_environment():
    """The environment of this process without what belongs to QGIS."""
    environment = QProcessEnvironment.systemEnvironment()
    for name in environment.keys():  # noqa: SIM118 (it is Qt's, not a dict)
        if name.upper().startswith(DROPPED) or name.upper() in DROPPED_NAMES:
            environment.remove(name)
    return environment


def run_job(interpreter, job, feedback=None):
    """Runs one job and waits for its end.

    Args:
        interpreter: Path of a Python that has the engine.
        job: What to do, as the engine's ``engine job`` takes it, without the protocol's version.
        feedback: A ``QgsProcessingFeedback``, told of progress and warnings, and asked whether to stop.

    Returns:
        The engine's result.

    Raises:
        EngineError: If the engine cannot be started, speaks another protocol, refuses the job, fails or dies.
        EngineCancelledError: If ``feedback`` was cancelled; the engine has ended then.
    """
    process = QProcess()
    process.setProcessEnvironment(clean_environment())
    process.start(interpreter, ["-I", "-m", "engine.cli", "job"])
    if not process.waitForStarted(10_000):
        raise EngineError(_tr("{} cannot be started: {}").format(interpreter, process.errorString()))
    conversation = _Conversation(interpreter, process, feedback)
    RUNNING.add(conversation)
    try:
        process.write((json.dumps({"protocol": PROTOCOL, **job}) + "\n").encode())
        return conversation.result()
    finally:
        RUNNING.discard(conversation)
        if process.state() != QProcess.ProcessState.NotRunning:
            process.kill()
            process.waitForFinished(5000)


class _Conversation:
    """Listens to the engine until it ends."""

    def __init__(self, interpreter, process, feedback):
        self.interpreter, self.process, self.feedback = interpreter, process, feedback
        self.greeted = False
        self.share = 0.0
        self.first = None  # moment and share of the first progress
        self.told = 0.0
        self.answer = None
        self.error = None
        self.said = deque(maxlen=8)  # the last lines on stderr
        self.rest = b""

    def result(self):
        deadline = time.monotonic() + START
        while self.process.state() != QProcess.ProcessState.NotRunning:
            self.process.waitForReadyRead(100)
            self._listen()
            if self.feedback is not None and self.feedback.isCanceled():
                self._stop()
                raise EngineCancelledError(self.share)
            if not self.greeted and time.monotonic() > deadline:
                raise EngineError(
                    _tr("{} did not answer within {} seconds; is it a Python interpreter with the engine?").format(
                        self.interpreter, START
                    )
                )
        self._listen()
        if self.answer is not None:
            return self.answer
        raise EngineError(self._failure())

    def _stop(self):
        self.process.closeWriteChannel()  # the engine ends when its stdin does; terminate() does nothing on Windows
        if not self.process.waitForFinished(GOODBYE):
            self.process.kill()
            self.process.waitForFinished(5000)

    def _listen(self):
        for line in bytes(self.process.readAllStandardError()).decode(errors="replace").splitlines():
            self.said.append(line)
            LAST.append(line)
            if self.feedback is not None:
                self.feedback.pushDebugInfo(line)
        *lines, self.rest = (self.rest + bytes(self.process.readAllStandardOutput())).split(b"\n")
        for line in lines:
            self._hear(line)

    def _hear(self, line):
        if b'"progress"' not in line[:30]:
            LAST.append(line[:2000].decode(errors="replace"))
        try:
            event = json.loads(line)
            kind = event["event"]
        except (ValueError, KeyError, TypeError):
            self.said.append(line.decode(errors="replace"))
            return
        if kind == "hello":
            self._greet(event)
        elif kind == "result":
            self.answer = event
        elif kind == "error":
            self.error = told(event)
        elif kind == "progress":
            self.share = event["share"]
            if self.feedback is not None:
                self.feedback.setProgress(100 * event["share"])
                self._tell_left(time.monotonic())
        elif self.feedback is not None:
            if kind == "command":
                self.feedback.pushCommandInfo(told(event))
            elif kind == "warning":
                self.feedback.pushWarning(told(event))
            elif kind == "info":
                self.feedback.pushInfo(told(event))

    def _tell_left(self, now):
        if self.first is None:
            self.first, self.told = (now, self.share), self.share
        start, share = self.first
        if now - start > LEFT and share < self.share < 1 and (self.told == share or self.share - self.told >= 0.1):
            self.told = self.share
            left = (now - start) * (1 - self.share) / (self.share - share)
            self.feedback.setProgressText(_tr("{:.0%} done, about {} left").format(self.share, _duration(left)))

    def _greet(self, event):
        self.greeted = True
        if event.get("protocol") != PROTOCOL:
            raise EngineError(
                _tr(
                    "The engine of {interpreter} (version {version}) and this plugin do not speak the same protocol "
                    "({theirs} and {ours}). Update both to the same release: "
                    '"{interpreter}" -m pip install --upgrade "{source}"'
                ).format(
                    interpreter=self.interpreter,
                    source=SOURCE,
                    version=event.get("engine"),
                    theirs=event.get("protocol"),
                    ours=PROTOCOL,
                )
            )
        if self.feedback is not None:
            self.feedback.pushDebugInfo(
                "engine {engine}, Python {python}, GDAL {gdal}, ONNX Runtime {onnxruntime} ({providers})".format(
                    **{**event, "providers": ", ".join(event["providers"])}
                )
            )

    def _failure(self):
        if self.error is not None:
            return self.error
        said = "\n".join(self.said)
        if self.process.exitStatus() == QProcess.ExitStatus.CrashExit:
            return _tr(
                "The engine's process was killed or crashed; the computer may have run out of memory. "
                "No map was written. {}"
            ).format(said)
        if "No module named" in said and "engine" in said.rsplit("No module named", 1)[1]:
            return _tr("{interpreter} does not have the engine. {help}").format(
                interpreter=self.interpreter, help=what_to_do()
            )
        if "No such command" in said:
            return _tr(
                "The engine of {interpreter} is too old for this plugin. Update it with\n"
                '"{interpreter}" -m pip install --upgrade "{source}"'
            ).format(interpreter=self.interpreter, source=SOURCE)
        return _tr("The engine of {} ended without an answer (exit status {}):\n{}").format(
            self.interpreter, self.process.exitCode(), said
        )


def told(event):
    """An event's text in the user's language, where the engine says what it is made of and there is a translation."""
    said = event.get("said", {}).get("text")
    return event["text"] if said is None else translated(said)


def translated(said):
    """A text that the engine says with its template and values, or a list of them."""
    if isinstance(said, dict):
        values = {key: translated(one) for key, one in said["values"].items()}
        return QCoreApplication.translate("Engine", said["template"]).format(**values)
    return "; ".join(translated(one) for one in said) if isinstance(said, list) else said


def _duration(seconds):
    if seconds < 90:
        return _tr("{} s").format(round(seconds))
    return _tr("{} min").format(round(seconds / 60)) if seconds < 5400 else _tr("{:.1f} h").format(seconds / 3600)


def _tr(text):
    return QCoreApplication.translate("Process", text)
