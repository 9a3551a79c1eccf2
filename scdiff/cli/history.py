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
    help="Keep the runs of all batches in one history that detects every change.",
)
app.add_typer(commands, name="history")

URL = "Database of the history: sqlite:///batches.db, postgresql+psycopg://user@host/name."
"""Help text of ``--history``."""

History = Annotated[str, typer.Option("--history", envvar="SCDIFF_HISTORY", help=URL)]
Batch = Annotated[
    str | None,
    typer.Option("--batch", help="Name of the batch; by default the name of the folder."),
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
        typer.Option("--lot", help="Lot of a reagent, e.g. --lot medium=A123; repeatable."),
    ] = None,
    chemistry: Annotated[
        str | None,
        typer.Option("--chemistry", help='Chemistry of the library, e.g. "10x 3\' v3.1".'),
    ] = None,
    specification: Annotated[
        str | None, typer.Option("--specification", help="Name and version, e.g. isct@1.")
    ] = None,
    collected: Annotated[
        str | None,
        typer.Option("--collected", help="Time of collection: ISO 8601 with time zone."),
    ] = None,
    analysed: Annotated[
        str | None,
        typer.Option(
            "--analysed", help="Time of analysis: ISO 8601 with time zone; by default now."
        ),
    ] = None,
    supersede: Annotated[
        str | None,
        typer.Option(
            "--supersede", help="Reason why this run replaces the earlier run of its batch."
        ),
    ] = None,
) -> None:
    """Register finished runs, with facts that their folders do not contain."""
    from scdiff.batches.folder import read_folder
    from scdiff.batches.history import Facts, open_history

    _check_name(batch, results)
    facts = Facts(
        batch,
        role,
        donor,
        passage,
        culture_day,
        operator,
        _parse_lots(lot),
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


def _check_name(batch: str | None, results: list[Path]) -> None:
    """Raise ConfigError if one name is given for several folders."""
    if batch is not None and len(results) > 1:
        raise ConfigError(
            f"--batch {batch!r} names one batch, but there are {len(results)} folders. Add them "
            "one by one."
        )


def _parse_lots(texts: list[str] | None) -> dict[str, str]:
    """Parse ``reagent=lot`` texts."""
    pairs = [text.partition("=") for text in texts or []]
    for name, equals, value in pairs:
        if not (name.strip() and equals and value.strip()):
            raise ConfigError(
                f"--lot {name + equals + value!r}: write it as reagent=lot, e.g. --lot medium=A123."
            )
    return {name.strip(): value.strip() for name, _, value in pairs}


@commands.command("list")
def list_runs(
    history: History,
    last: Annotated[
        int, typer.Option("--last", min=1, help="Number of the latest runs to show.")
    ] = 50,
    superseded: Annotated[
        bool, typer.Option("--superseded", help="Also show superseded runs.")
    ] = False,
) -> None:
    """List the latest runs with their main read-out."""
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
    cause: Annotated[str, typer.Option("--cause", help="Cause that was found.")],
    action: Annotated[str, typer.Option("--action", help="Action that was taken.")],
    who: Who,
    chart: Annotated[
        str | None,
        typer.Option("--chart", help="assay or process, if the note answers a rule violation."),
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", help="The violated rule, e.g. 1-3s, ewma, cusum.")
    ] = None,
) -> None:
    """Append a note on a batch, e.g. the answer to a rule violation."""
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
    """Write all rows of the history and the hash chain as CSV files."""
    from scdiff.batches.history import open_history
    from scdiff.batches.listing import write_export

    for path, n_rows in write_export(open_history(history), out):
        typer.echo(f"{path}: {n_rows:,} rows")


@commands.command()
def verify(
    history: History,
    head: Annotated[
        str | None,
        typer.Option("--head", help="Hash that you noted before; it must still be in the chain."),
    ] = None,
) -> None:
    """Recompute the hash of every row; list rows that were changed, removed or moved."""
    from scdiff.batches.history import open_history

    opened = open_history(history)
    last, faults = opened.verify()
    _refuse_faults(last, faults)
    if head is not None:
        typer.echo(f"The noted hash is the hash of row {_find_row(opened, head)}.")
    rows = "1 row" if last.number == 1 else f"{last.number:,} rows"
    typer.echo(
        f"Verified: {rows}. Head {last.hash}. Note this hash outside the history; --head then "
        "proves that nobody rewrote the history."
    )


def _refuse_faults(last: Any, faults: Sequence[Any]) -> None:
    """Print each fault; raise InputError if there is a fault."""
    for fault in faults:
        typer.echo(fault.sentence)
    if faults:
        several = "1 fault" if len(faults) == 1 else f"{len(faults):,} faults"
        raise InputError(f"the history does not verify: {several} in {last.number:,} rows.")


def _find_row(opened: Any, head: str) -> int:
    """Return the row number of a noted hash; raise InputError if it is missing."""
    found = opened.holds(head)
    if found is None:
        raise InputError(
            f"--head {head}: no row has this hash, so the history was rewritten after you noted it."
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
            "--change",
            help="First batch after a process change; compare it and later with earlier ones.",
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin", help="Equivalence margin for --change: a ratio of odds above 1, e.g. 1.5."
        ),
    ] = None,
    lock: Annotated[
        str | None,
        typer.Option(
            "--lock",
            help="Lock the newest phase as a baseline with this name (20 batches or more).",
        ),
    ] = None,
    chart: Annotated[
        str, typer.Option("--chart", help="Chart of the locked baseline: process or assay.")
    ] = "process",
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            help="Last batch of the locked baseline; by default the last one of the newest phase.",
        ),
    ] = None,
    who: Annotated[
        str, typer.Option("--who", help="Name of the person who locks the baseline.")
    ] = "",
    reason: Annotated[
        str | None, typer.Option("--reason", help="Reason for a new version of a locked baseline.")
    ] = None,
) -> None:
    """Draw the control charts of assay and process on one page over all batches."""
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
            "detected batches."
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
