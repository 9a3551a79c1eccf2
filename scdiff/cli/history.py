"""Commands on the history of batches: ``history add`` and others, and ``trend``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from scdiff.cli.app import app, echo_table
from scdiff.cli.register import describe_entry
from scdiff.errors import ConfigError, InputError

__all__ = ["History", "add", "export", "list_runs", "note", "trend", "verify"]

commands = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Keep the runs of all batches in one history that cannot be changed unseen.",
)
app.add_typer(commands, name="history")

URL = "URL of SQLAlchemy: sqlite:///batches.db, postgresql+psycopg://user@host/name."
History = Annotated[str, typer.Option("--history", envvar="SCDIFF_HISTORY", help=URL)]
Batch = Annotated[
    str | None,
    typer.Option("--batch", help="Name of the batch; that of the folder where not given."),
]
Who = Annotated[str, typer.Option("--who", help="Name of the person.")]


@commands.command()
def add(
    results: Annotated[
        list[Path],
        typer.Argument(help="Output folders of finished runs, in the order of analysis."),
    ],
    history: History,
    batch: Batch = None,
    role: Annotated[str, typer.Option("--role", help="batch, run control or reference.")] = "batch",
    donor: Annotated[str | None, typer.Option("--donor")] = None,
    passage: Annotated[int | None, typer.Option("--passage", help="Number of the passage.")] = None,
    culture_day: Annotated[
        float | None, typer.Option("--culture-day", help="Days in culture.")
    ] = None,
    operator: Annotated[str | None, typer.Option("--operator")] = None,
    lot: Annotated[
        list[str] | None,
        typer.Option("--lot", help="Lot of a reagent, as in --lot medium=A123; repeatable."),
    ] = None,
    chemistry: Annotated[
        str | None, typer.Option("--chemistry", help='Of the library, as in "10x 3\' v3.1".')
    ] = None,
    specification: Annotated[
        str | None, typer.Option("--specification", help="Name and version, as in isct@1.")
    ] = None,
    collected: Annotated[
        str | None,
        typer.Option("--collected", help="When the cells were collected: ISO 8601 with zone."),
    ] = None,
    analysed: Annotated[
        str | None,
        typer.Option(
            "--analysed", help="When they were analysed: ISO 8601 with zone; now where not given."
        ),
    ] = None,
    supersede: Annotated[
        str | None, typer.Option("--supersede", help="Why this run replaces the one of its batch.")
    ] = None,
) -> None:
    """Register finished runs with what their folders do not say."""
    from scdiff.batches.folder import read_folder
    from scdiff.batches.history import Facts, open_history

    _check_one(batch, results)
    facts = Facts(
        batch,
        role,
        donor,
        passage,
        culture_day,
        operator,
        _lots(lot),
        chemistry,
        specification,
        collected,
        analysed,
    )
    facts.columns()
    runs = [read_folder(folder) for folder in results]
    opened = open_history(history, create=True)
    for run, (entry, new) in zip(
        runs, opened.add_runs([(run, facts) for run in runs], reason=supersede), strict=True
    ):
        typer.echo(describe_entry(facts.batch or run.name, entry, new))


def _check_one(batch: str | None, results: list[Path]) -> None:
    """Refuse one name for several folders."""
    if batch is not None and len(results) > 1:
        raise ConfigError(
            f"--batch {batch!r} names one batch, but {len(results)} folders are given."
        )


def _lots(texts: list[str] | None) -> dict[str, str]:
    """Read ``reagent=lot``."""
    pairs = [text.partition("=") for text in texts or []]
    for name, equals, value in pairs:
        if not (name.strip() and equals and value.strip()):
            raise ConfigError(
                f"--lot {name + equals + value!r}: write it as reagent=lot, as in --lot "
                "medium=A123."
            )
    return {name.strip(): value.strip() for name, _, value in pairs}


@commands.command("list")
def list_runs(
    history: History,
    last: Annotated[int, typer.Option("--last", min=1, help="So many of the latest runs.")] = 50,
    superseded: Annotated[
        bool, typer.Option("--superseded", help="Also runs that a later one replaced.")
    ] = False,
) -> None:
    """List the runs with the main read-out of each."""
    from scdiff.batches.history import open_history
    from scdiff.batches.listing import list_rows

    rows, n_runs = list_rows(open_history(history), last=last, superseded=superseded)
    echo_table(rows)
    if n_runs > len(rows) - 1:
        typer.echo(f"The last {len(rows) - 1} of {n_runs:,} runs; --last shows more.")


@commands.command()
def note(
    history: History,
    batch: Annotated[
        str, typer.Option("--batch", help="Name of the batch, or number of its entry.")
    ],
    cause: Annotated[str, typer.Option("--cause", help="What was found to be the cause.")],
    action: Annotated[str, typer.Option("--action", help="What was done.")],
    who: Who,
    chart: Annotated[
        str | None,
        typer.Option("--chart", help="assay or process, where the note answers a broken rule."),
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", help="The broken rule, as in 1-3s, ewma, cusum.")
    ] = None,
) -> None:
    """Append a note on a batch, such as the answer to a broken rule."""
    from scdiff.batches.history import open_history
    from scdiff.batches.signals import check_rule

    check_rule(chart, rule)
    words = {"cause": cause, "action": action, "who": who, "chart": chart, "rule": rule}
    entry = open_history(history).add_note(batch, words)
    typer.echo(f"Note on batch {batch}: entry {entry.number}, hash {entry.hash[:16]}.")


@commands.command()
def export(
    history: History,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the tables.")],
) -> None:
    """Write every row of the history as CSV, and the chain."""
    from scdiff.batches.history import open_history
    from scdiff.batches.listing import write_export

    for path, n_rows in write_export(open_history(history), out):
        typer.echo(f"{path}: {n_rows:,} rows")


@commands.command()
def verify(
    history: History,
    head: Annotated[
        str | None,
        typer.Option(
            "--head", help="Hash that was written down before; it must still be in the chain."
        ),
    ] = None,
) -> None:
    """Recompute the hash of every row; name each that was changed, removed or moved."""
    from scdiff.batches.history import open_history

    opened = open_history(history)
    last, faults = opened.verify()
    _refuse_faults(last, faults)
    if head is not None:
        typer.echo(f"The hash that was noted is that of row {_row_of(opened, head)}.")
    rows = "1 row" if last.number == 1 else f"{last.number:,} rows"
    typer.echo(
        f"Verified: {rows}. Head {last.hash}; note it outside the history to prove that nobody "
        "rewrote it."
    )


def _refuse_faults(last: Any, faults: Sequence[Any]) -> None:
    """Say each fault, then fail, if there is any."""
    for fault in faults:
        typer.echo(fault.sentence)
    if faults:
        several = "1 fault" if len(faults) == 1 else f"{len(faults):,} faults"
        raise InputError(f"the history does not verify: {several} in {last.number:,} rows.")


def _row_of(opened: Any, head: str) -> int:
    """Find the row of a hash that was noted."""
    found = opened.holds(head)
    if found is None:
        raise InputError(
            f"--head {head}: no row has this hash, so the history was rewritten since."
        )
    return int(found)


@app.command()
def trend(
    history: History,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the page and its tables.")
    ] = Path("scdiff-trend"),
    readout: Annotated[
        str, typer.Option("--readout", help="Programme, or programme/state.")
    ] = "pancreatic_progenitor/progenitor_like",
    run_control: Annotated[
        str | None, typer.Option("--run-control", help="Sample that is the control in every run.")
    ] = None,
    lower: Annotated[
        float | None, typer.Option("--lower", help="Lowest fraction of the specification, 0-1.")
    ] = None,
    upper: Annotated[
        float | None, typer.Option("--upper", help="Highest fraction of the specification, 0-1.")
    ] = None,
    change: Annotated[
        str | None,
        typer.Option(
            "--change", help="First batch of a changed process, compared with those before."
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin", help="Ratio of odds that does not matter, as in 1.5; for --change."
        ),
    ] = None,
    lock: Annotated[
        str | None,
        typer.Option(
            "--lock", help="Lock the newest phase as baseline of this name (20 batches or more)."
        ),
    ] = None,
    chart: Annotated[
        str, typer.Option("--chart", help="Chart whose baseline is locked: process or assay.")
    ] = "process",
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            help="Last batch of the baseline that is locked; the last of the newest phase where "
            "not given.",
        ),
    ] = None,
    who: Annotated[str, typer.Option("--who", help="Who locks the baseline.")] = "",
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why a locked baseline gets a new version.")
    ] = None,
) -> None:
    """Draw the control charts of assay and process, and the page over all batches."""
    from scdiff.batches.history import open_history
    from scdiff.batches.signals import check_rule
    from scdiff.batches.trend import compute_trend, lock_baseline, write_trend
    from scdiff.batches.trend_page import comparison_sentence, status_of

    check_rule(chart, None)
    opened = open_history(history)
    if lock is not None:
        entry, version, baseline = lock_baseline(
            opened,
            lock,
            chart=chart,
            readout=readout,
            run_control=run_control,
            until=until,
            who=who,
            reason=reason,
        )
        typer.echo(
            f"Baseline {lock} version {version} is locked: entry {entry}, {baseline.n_detected} "
            "batches detected."
        )
    found = compute_trend(
        opened,
        readout=readout,
        run_control=run_control,
        limits=(lower, upper),
        change=change,
        margin=margin,
    )
    write_trend(found, out)
    typer.echo(status_of(found)[1])
    if found.comparison is not None:
        typer.echo(comparison_sentence(found.comparison, found.change))
    typer.echo(f"Page: {out / 'index.html'}")
