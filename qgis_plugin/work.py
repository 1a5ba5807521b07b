"""Programs that run one after the other while QGIS goes on: nothing here waits."""

import locale
from typing import NamedTuple

from qgis.PyQt.QtCore import QCoreApplication, QObject, QProcess, pyqtSignal

from .process import clean_environment


class Step(NamedTuple):
    """A program to run.

    Args:
        title: What it does, for the user; empty: nothing is said.
        program: Its path.
        arguments: Its arguments.
        variables: Of its environment, beside the cleaned one of QGIS.
        written: What it reads from its standard input, which stays open then: the engine ends with it.
    """

    title: str
    program: str
    arguments: list
    variables: dict = {}  # noqa: RUF012 (it is never changed)
    written: bytes = b""


class StepError(Exception):
    """A step ended badly; ``output`` is all that it said."""

    def __init__(self, output):
        super().__init__(output)
        self.output = output


class WorkError(Exception):
    """Why the work ended; the message is for the user."""


class Work(QObject):
    """Runs the steps that a generator yields, which is sent what each printed, or thrown a :class:`StepError`.

    The generator returns what the work found, or says with a :class:`WorkError` why it ends without.

    Args:
        steps: Of the generator.
        cleanup: Steps that are run at the end, whatever it was; they cannot fail.
    """

    began = pyqtSignal(str)
    said = pyqtSignal(str)
    ended = pyqtSignal(bool, object)
    """Good, and what was found; or not, and why: a text."""

    def __init__(self, steps, cleanup=(), parent=None):
        super().__init__(parent)
        self.steps, self.left = steps, list(cleanup)
        self.process = None
        self.output = ""
        self.cancelled = False
        self.end = None

    def start(self):
        """Starts with the first step."""
        self._next(lambda: next(self.steps))

    def cancel(self):
        """Ends the program that runs, and the work with it."""
        self.cancelled = True
        if self.process is not None and self.end is None:
            self.process.kill()

    def _next(self, advance):
        if self.end is not None:
            self._clean()
            return
        try:
            if self.cancelled:
                raise WorkError(_tr("Cancelled; nothing was changed."))
            step = advance()
        except StopIteration as end:
            self.end = (True, end.value)
            self._clean()
        except (WorkError, StepError) as error:
            self.steps.close()
            self.end = (False, str(error))
            self._clean()
        else:
            self._run(step)

    def _clean(self):
        if self.left:
            self._run(self.left.pop(0))
        else:
            self.ended.emit(*self.end)

    def _run(self, step):
        if step.title:
            self.began.emit(step.title)
        self.output = ""
        environment = clean_environment()
        for name, value in step.variables.items():
            environment.insert(name, value)
        self.process = QProcess(self)
        self.process.setProcessEnvironment(environment)
        self.process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        self.process.readyRead.connect(self._hear)
        self.process.finished.connect(self._finished)
        self.process.errorOccurred.connect(self._failed)
        self.process.start(step.program, step.arguments)
        self.process.write(step.written)
        if not step.written:
            self.process.closeWriteChannel()

    def _hear(self):
        text = bytes(self.process.readAll()).decode(locale.getpreferredencoding(False), "replace")
        self.output += text
        if self.end is None and text:
            self.said.emit(text)

    def _failed(self, error):
        if error == QProcess.ProcessError.FailedToStart:
            self.output += self.process.errorString()
            self._finished(1)

    def _finished(self, code, status=QProcess.ExitStatus.NormalExit):
        self._hear()
        self.process.deleteLater()
        self.process = None
        output = self.output
        if code or status == QProcess.ExitStatus.CrashExit:
            self._next(lambda: self.steps.throw(StepError(output)))
        else:
            self._next(lambda: self.steps.send(output))


def _tr(text):
    return QCoreApplication.translate("Work", text)
