"""Record the state of a run in ``OUT/status.json``, so that programs need not read the terminal.

The file is replaced as a whole at each change of step. A run that is killed leaves the state
``running``; a run that fails leaves ``failed`` with its error. Only a complete run leaves
``finished``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scdiff.errors import OutputError, ScdiffError
from scdiff.storage.atomic import replace_atomically

__all__ = ["STATUS", "RunStatus", "Watch"]

STATUS = "status.json"
"""Name of the file in the output folder."""

WRITER = "scdiff"
"""Key that every status file has; its value is the version that wrote the file."""

UNEXPECTED, INTERRUPTED = 1, 130
"""Exit codes of an unexpected error and of Ctrl-C, those of Python and of the shell."""

Watch = Callable[[str, str, float], None]
"""Called with ``(step, "started" | "resumed" | "finished", seconds)``."""


class RunStatus:
    """State of one run, as a context manager around all of its work.

    The fields of the file are:

    - ``scdiff``: version that wrote the file
    - ``state``: ``running``, ``failed`` or ``finished``
    - ``batch``: name of the batch
    - ``step``: step that runs, or the last one that ran; empty before the first step
    - ``steps_done``: steps that are complete, computed now or by an earlier run
    - ``started``, ``finished``: times in UTC, ISO 8601; null if the run has not ended
    - ``error``, ``message``: class and text of the error; null without an error
    - ``expected``: whether the error is one that scdiff raises on purpose; null without an error
    - ``exit_code``: exit code of the command; null if the run has not ended
    - ``verdict``: verdict of the main row; null unless the run is finished
    - ``alerts``: what makes the batch unusual, one sentence each; empty unless the run is finished

    A folder that does not exist is not created for the status of a run that fails before it starts.

    Parameters
    ----------
    out
        Output folder of the run.
    batch
        Name of the batch; the name of the folder if None.
    """

    def __init__(self, out: Path, batch: str | None = None) -> None:
        from scdiff import __version__

        self._path = Path(out) / STATUS
        self._is_ours = False
        self._fields: dict[str, Any] = {
            WRITER: __version__,
            "state": "running",
            "batch": batch or Path(out).resolve().name,
            "step": "",
            "steps_done": [],
            "started": _format_now(),
            "finished": None,
            "error": None,
            "message": None,
            "expected": None,
            "exit_code": None,
            "verdict": None,
            "alerts": [],
        }

    def __enter__(self) -> Self:
        self._is_ours = not self._path.parent.exists()
        self._write_if_free()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._fields |= {"state": "finished", "exit_code": 0, "finished": _format_now()}
            self._write()
            return
        is_expected = isinstance(error, ScdiffError)
        code = INTERRUPTED if isinstance(error, KeyboardInterrupt) else UNEXPECTED
        self._fields |= {
            "state": "failed",
            "finished": _format_now(),
            "error": type(error).__name__,
            "message": str(error),
            "expected": is_expected,
            "exit_code": error.exit_code if isinstance(error, ScdiffError) else code,
            "verdict": None,
        }
        if self._is_ours:
            self._write_if_free()

    def begin(self) -> None:
        """Write the first state; call this while the run holds the lock of its folder.

        Raises
        ------
        OutputError
            If the folder has a status file that scdiff did not write, or cannot be written.
        """
        if self._is_foreign():
            raise OutputError(
                f"{self._path}: scdiff did not write this file and would replace it. "
                "Choose another --out."
            )
        self._is_ours = True
        self._write()

    def set_verdict(self, verdict: str, alerts: Sequence[str] = ()) -> None:
        """Set the verdict and the alerts that the file states once the run is finished."""
        self._fields |= {"verdict": verdict, "alerts": list(alerts)}

    def record_steps(self, watch: Watch) -> Watch:
        """Return a watcher that writes each change of step, then calls ``watch``."""

        def record(step: str, event: str, seconds: float) -> None:
            if event == "started":
                self._fields["step"] = step
            else:
                self._fields["steps_done"].append(step)
            self._write()
            watch(step, event, seconds)

        return record

    def _write(self) -> None:
        """Replace the file; verdict and alerts are left out until the run is finished."""
        is_finished = self._fields["state"] == "finished"
        fields = self._fields | ({} if is_finished else {"verdict": None, "alerts": []})
        text = json.dumps(fields, indent=1, ensure_ascii=False)
        with replace_atomically(self._path) as partial:
            partial.write_text(f"{text}\n", encoding="utf-8")

    def _write_if_free(self) -> None:
        """Write if the folder exists and no other run holds its lock.

        A status file that scdiff did not write stays. An error here would hide that of the run.
        """
        from scdiff.storage.checkpoint import Checkpoints  # slow to import

        if not self._path.parent.is_dir() or self._is_foreign():
            return
        with suppress(OutputError), Checkpoints(self._path.parent).locked():
            self._is_ours = True
            self._write()

    def _is_foreign(self) -> bool:
        """Check whether a file of this name exists that scdiff did not write."""
        try:
            text = self._path.read_text(encoding="utf-8")
            fields = json.loads(text or "{}")  # a power cut may leave an empty file
        except FileNotFoundError:
            return False
        except (OSError, ValueError):
            return True
        return bool(text) and (not isinstance(fields, dict) or WRITER not in fields)


def _format_now() -> str:
    """Return the current time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
