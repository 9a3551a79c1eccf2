"""What a run has finished, kept in ``OUT/.scdiff`` so that a killed run resumes.

The counts are stored where a step changes cells (load, qc); every other step stores all slots but the matrices.
Each entry carries a fingerprint of all that its result depends on: a changed option recomputes from the first step
that it touches. Files are written under a temporary name, then renamed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from scdiff.errors import OutputError
from scdiff.steps._blocks import is_lazy

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Checkpoints", "replaced"]

log = logging.getLogger(__name__)

WITH_COUNTS = ("load", "qc")
"""Steps that change the cells, so that the counts are stored anew."""

ENTRY = {"step", "fingerprint", "seconds", "file", "sha256"}
"""What the record says of a finished step."""


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; rename it to ``path`` when the block ends well.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}). Give a folder that can be, with room on its disk."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


class Checkpoints:
    """Finished steps of the run that writes to ``out``.

    Parameters
    ----------
    out
        Output folder of the run; made where it does not exist.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / ".scdiff"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _not_writable(out, error) from error
        self._state = self.folder / "state.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of the folder.

        Raises
        ------
        OutputError
            If another run holds it, or it cannot be written.
        """
        try:
            handle = (self.folder / "lock").open("w")
        except OSError as error:
            raise _not_writable(self.folder.parent, error) from error
        with handle:
            _lock(handle, self.folder.parent)
            yield

    def finished(self) -> list[dict[str, Any]]:
        """Entries of the finished steps, in their order; none where the record is missing or damaged."""
        try:
            entries = json.loads(self._state.read_text(encoding="utf-8"))
            return [dict(entry) for entry in entries if set(entry) >= ENTRY]
        except (OSError, TypeError, ValueError):
            return []

    def keep(self, n_steps: int) -> None:
        """Forget all steps after the first ``n_steps``."""
        self._write_state(self.finished()[:n_steps])

    def save(self, adata: AnnData, step: str, *, fingerprint: str, seconds: float) -> None:
        """Store the object after ``step``."""
        from scdiff.report.h5ad import write_h5ad

        entries = self.finished()
        name = f"{len(entries):02d}_{step}.h5ad"
        with replaced(self.folder / name) as partial:
            write_h5ad(
                adata if step in WITH_COUNTS and not is_lazy(adata.layers["counts"]) else _without_matrices(adata),
                partial,
                compressed=False,
            )
        entry = {"step": step, "fingerprint": fingerprint, "seconds": seconds, "file": name, "sha256": _sha256(self.folder / name)}
        self._write_state([*entries, entry])

    def n_intact(self, n_steps: int) -> int:
        """How many of the first ``n_steps`` steps can be restored from undamaged files."""
        while n_steps and not all(map(self._intact, self._needed(n_steps))):
            n_steps -= 1
            log.warning("The stored result of step %s is damaged: it is computed again.", self.finished()[n_steps]["step"])
        return n_steps

    def restore(self) -> AnnData:
        """Put together the object as it was after the last finished step; X is left empty, as are counts that stayed on disk."""
        import anndata

        last, with_counts = self._needed(len(self.finished()))
        adata = anndata.read_h5ad(self.folder / last["file"])
        if with_counts != last and "counts" in (stored := anndata.read_h5ad(self.folder / with_counts["file"])).layers:
            adata.layers["counts"] = stored.layers["counts"]
        return adata

    def _needed(self, n_steps: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Entries of the last step and of the last one that stored counts."""
        entries = self.finished()[:n_steps]
        return entries[-1], next((entry for entry in reversed(entries) if entry["step"] in WITH_COUNTS), entries[-1])

    def _intact(self, entry: dict[str, Any]) -> bool:
        """Whether the file of a step is what was written."""
        path = self.folder / entry["file"]
        return path.is_file() and _sha256(path) == entry["sha256"]

    def _write_state(self, entries: list[dict[str, Any]]) -> None:
        """Replace the record of finished steps."""
        with replaced(self._state) as partial, partial.open("w", encoding="utf-8") as handle:
            json.dump(entries, handle, indent=1)
            handle.flush()
            os.fsync(handle.fileno())


def _not_writable(out: Path, error: OSError) -> OutputError:
    """Make the error of an output folder that cannot be written."""
    return OutputError(f"{out}: the output folder cannot be written ({error.strerror or error}). Give another with --out.")


def _lock(handle: IO[str], out: Path) -> None:
    """Lock an open file until it is closed; a file system without locks is taken as it is."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(f"{out}: another run is writing to this folder. Wait for it, or give another --out.") from None
    except OSError as error:
        log.info("%s: this file system has no locks (%s); start no second run in this folder.", out, error.strerror)


def _sha256(path: Path) -> str:
    """Hash of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _without_matrices(adata: AnnData) -> AnnData:
    """Take the object without X and layers; nothing is copied."""
    import anndata

    slots = {name: dict(getattr(adata, name)) for name in ("obsm", "varm", "obsp", "varp")}
    return anndata.AnnData(obs=adata.obs, var=adata.var, uns=dict(adata.uns), **slots)
