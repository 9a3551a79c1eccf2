"""What a run has finished, kept in ``OUT/.scdiff`` so that a killed run resumes.

The counts are stored where a step changes cells (load, qc); every other step stores all slots but the matrices.
Each entry carries a fingerprint of all that its result depends on: a changed option recomputes from the first step
that it touches. Files are written under a temporary name, then renamed.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scdiff.errors import OutputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Checkpoints", "replaced"]

WITH_COUNTS = ("load", "qc")


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
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}). Give a folder that can be, with room on its disk.") from error
    finally:
        partial.unlink(missing_ok=True)


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
            raise OutputError(f"{out}: the output folder cannot be written ({error.strerror}). Give another with --out.") from error
        self._state = self.folder / "state.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of the folder.

        Raises
        ------
        OutputError
            If another run holds it.
        """
        try:
            with (self.folder / "lock").open("w") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield
        except BlockingIOError:
            raise OutputError(f"{self.folder.parent}: another run is writing to this folder. Wait for it, or give another --out.") from None

    def finished(self) -> list[dict[str, Any]]:
        """Entries of the finished steps, in their order; none where the record is missing or damaged."""
        try:
            entries = json.loads(self._state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        return [entry for entry in entries if (self.folder / entry["file"]).is_file()]

    def keep(self, n_steps: int) -> None:
        """Forget all steps after the first ``n_steps``."""
        self._write_state(self.finished()[:n_steps])

    def save(self, adata: AnnData, step: str, *, fingerprint: str, seconds: float) -> None:
        """Store the object after ``step``."""
        from scdiff.report.h5ad import write_h5ad

        entries = self.finished()
        name = f"{len(entries):02d}_{step}.h5ad"
        with replaced(self.folder / name) as partial:
            write_h5ad(adata if step in WITH_COUNTS else _without_matrices(adata), partial, compressed=False)
        self._write_state([*entries, {"step": step, "fingerprint": fingerprint, "seconds": seconds, "file": name}])

    def restore(self) -> AnnData:
        """Put together the object as it was after the last finished step; X is left empty."""
        import anndata

        entries = self.finished()
        with_counts = [entry for entry in entries if entry["step"] in WITH_COUNTS][-1]
        adata = anndata.read_h5ad(self.folder / entries[-1]["file"])
        if with_counts is not entries[-1]:
            adata.layers["counts"] = anndata.read_h5ad(self.folder / with_counts["file"]).layers["counts"]
        return adata

    def _write_state(self, entries: list[dict[str, Any]]) -> None:
        """Replace the record of finished steps."""
        with replaced(self._state) as partial, partial.open("w", encoding="utf-8") as handle:
            json.dump(entries, handle, indent=1)
            handle.flush()
            os.fsync(handle.fileno())


def _without_matrices(adata: AnnData) -> AnnData:
    """The object without X and layers; nothing is copied."""
    import anndata

    slots = {name: dict(getattr(adata, name)) for name in ("obsm", "varm", "obsp", "varp")}
    return anndata.AnnData(obs=adata.obs, var=adata.var, uns=dict(adata.uns), **slots)
