"""What a run has finished, kept in ``OUT/.scdiff`` so that a killed run resumes.

Each step stores the slots that it changed. Counts are read from the input again; they are stored
only if reading was slow. Each entry has a fingerprint of everything on which its result depends: a
changed option recomputes from the first step that depends on it. Files are written under a
temporary name, then renamed.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from scdiff import keys
from scdiff.compute.blocks import is_lazy
from scdiff.errors import OutputError
from scdiff.storage.atomic import replace_atomically
from scdiff.storage.hashes import hash_file

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Checkpoints", "take_counts"]

log = logging.getLogger(__name__)

SLOW_S = 10.0
"""Reading that took longer, in seconds, is not done again: the counts are stored."""

COUNTS = "layers/counts"

MAPPINGS = ("obsm", "varm", "obsp", "varp", "uns")

ENTRY = {"step", "fingerprint", "seconds", "file", "sha256", "slots"}
"""What the record says of a finished step; ``slots`` tells which file holds each slot."""


def take_counts(adata: AnnData, whole: AnnData) -> None:
    """Move the counts of the cells and genes of ``adata`` out of ``whole``."""
    adata.layers[keys.COUNTS.name] = (
        whole[adata.obs_names, adata.var_names].copy().layers[keys.COUNTS.name]
    )


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
        self._stored: dict[str, tuple[Any, str]] = {}

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
        """Return the entries of the finished steps, in their order.

        The list is empty if the record is missing or damaged.
        """
        try:
            entries = json.loads(self._state.read_text(encoding="utf-8"))
            return [dict(entry) for entry in entries if set(entry) >= ENTRY]
        except (OSError, TypeError, ValueError):
            return []

    def keep(self, n_steps: int) -> None:
        """Forget all steps after the first ``n_steps``."""
        self._stored.clear()
        self._write_state(self.finished()[:n_steps])

    def save(self, adata: AnnData, step: str, *, fingerprint: str, seconds: float) -> None:
        """Store what ``step`` changed in the object."""
        entries = self.finished()
        name = f"{len(entries):02d}_{step}.h5"
        slots = {slot: (_snapshot(value), name) for slot, value in _slots(adata).items()}
        slots |= {
            slot: old
            for slot, old in self._stored.items()
            if slot in slots and _same(slots[slot][0], old[0])
        }
        homes = {slot: home for slot, (_, home) in slots.items()}
        changed = {slot: value for slot, (value, home) in slots.items() if home == name}
        if entries and COUNTS in entries[-1]["slots"]:
            homes[COUNTS] = entries[-1]["slots"][COUNTS]
        elif not entries and seconds > SLOW_S and not is_lazy(adata.layers[keys.COUNTS.name]):
            changed[COUNTS], homes[COUNTS] = adata.layers[keys.COUNTS.name], name
        with replace_atomically(self.folder / name) as partial:
            _write(changed, partial)
        entry = {
            "step": step,
            "fingerprint": fingerprint,
            "seconds": seconds,
            "file": name,
            "sha256": hash_file(self.folder / name),
        }
        self._write_state([*entries, entry | {"slots": homes}])
        self._stored = slots

    def n_intact(self, n_steps: int) -> int:
        """How many of the first ``n_steps`` steps can be restored from undamaged files."""
        entries = self.finished()[:n_steps]
        intact = {entry["file"] for entry in entries if self._intact(entry)}
        while n_steps and not intact.issuperset(
            {entries[n_steps - 1]["file"], *entries[n_steps - 1]["slots"].values()}
        ):
            n_steps -= 1
            log.warning(
                "The stored result of step %s is damaged: it is computed again.",
                entries[n_steps]["step"],
            )
        return n_steps

    def restore(self) -> AnnData:
        """Return the object as it was after the last finished step.

        X is empty, and so are counts that were not stored.
        """
        from anndata import AnnData

        slots = dict(self.finished()[-1]["slots"])
        counts = slots.pop(COUNTS, None)
        values: dict[str, Any] = {}
        for file in sorted(set(slots.values())):
            values |= _read(
                self.folder / file, [slot for slot, home in slots.items() if home == file]
            )
        adata = AnnData(obs=values.pop("obs"), var=values.pop("var"), uns={"scdiff": {}})
        for slot, value in values.items():
            group, _, name = slot.rpartition("/")
            (adata.uns[keys.ROOT] if group == "uns/scdiff" else getattr(adata, group))[name] = value
        if counts:
            stored = _read(self.folder / counts, ["obs", "var", COUNTS])
            whole = AnnData(
                obs=stored["obs"][[]], var=stored["var"][[]], layers={"counts": stored[COUNTS]}
            )
            take_counts(adata, whole)
        return adata

    def _intact(self, entry: dict[str, Any]) -> bool:
        """Whether the file of a step is what was written."""
        path = self.folder / entry["file"]
        return path.is_file() and hash_file(path) == entry["sha256"]

    def _write_state(self, entries: list[dict[str, Any]]) -> None:
        """Replace the record of finished steps."""
        with (
            replace_atomically(self._state) as partial,
            partial.open("w", encoding="utf-8") as handle,
        ):
            json.dump(entries, handle, indent=1)
            handle.flush()
            os.fsync(handle.fileno())


def _not_writable(out: Path, error: OSError) -> OutputError:
    """Make the error of an output folder that cannot be written."""
    return OutputError(
        f"{out}: the output folder cannot be written ({error.strerror or error}). "
        "Give another with --out."
    )


def _lock(handle: IO[str], out: Path) -> None:
    """Lock an open file until it is closed; a file system without locks is taken as it is."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(
            f"{out}: another run is writing to this folder. Wait for it, or give another --out."
        ) from None
    except OSError as error:
        log.info(
            "%s: this file system has no locks (%s); start no second run in this folder.",
            out,
            error.strerror,
        )


def _slots(adata: AnnData) -> dict[str, Any]:
    """Everything in the object but its matrices, by path."""
    slots = {
        f"{group}/{name}": value
        for group in MAPPINGS
        for name, value in getattr(adata, group).items()
        if name != "scdiff"
    }
    slots |= {f"uns/scdiff/{name}": value for name, value in adata.uns.get("scdiff", {}).items()}
    return {"obs": adata.obs, "var": adata.var} | {
        slot: value for slot, value in slots.items() if value is not None
    }


def _snapshot(value: Any) -> Any:
    """Copy only the mappings and frames in ``value``, so that a later change can be detected."""
    if isinstance(value, Mapping):
        return {key: _snapshot(part) for key, part in value.items()}
    return value.copy() if hasattr(value, "equals") else value


def _same(value: Any, other: Any) -> bool:
    """Check whether two snapshots have equal frames and the same array objects.

    Steps replace arrays; they do not change them in place.
    """
    if isinstance(value, Mapping):
        return (
            isinstance(other, Mapping)
            and list(value) == list(other)
            and all(_same(part, other[key]) for key, part in value.items())
        )
    return value.equals(other) if hasattr(value, "equals") else value is other


def _write(slots: Mapping[str, Any], path: Path) -> None:
    """Write some slots to a new file."""
    import anndata
    import h5py

    from scdiff.storage.h5ad import plain, write_slot

    with (
        anndata.settings.override(allow_write_nullable_strings=False),
        h5py.File(path, "w") as file,
    ):
        for slot, value in slots.items():
            write_slot(file, slot, plain(value))


def _read(path: Path, slots: list[str]) -> dict[str, Any]:
    """Read some slots of a file."""
    import anndata
    import h5py

    with h5py.File(path) as file:
        return {slot: anndata.io.read_elem(file[slot]) for slot in slots}
