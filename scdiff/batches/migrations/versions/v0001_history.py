"""Create the tables of the history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables of the first version, and the head of an empty chain."""
    _entries()
    _runs()
    _readouts()
    _decisions_and_notes()
    _baselines()
    head = op.create_table(
        "scdiff_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "number": 0, "hash": "0" * 64}])


def _entries() -> None:
    op.create_table(
        "scdiff_entries",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("recorded", sa.String(32), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
    )


def _number(parent: str = "entries") -> sa.Column:
    return sa.Column(
        "number",
        sa.Integer,
        sa.ForeignKey(f"scdiff_{parent}.number"),
        primary_key=True,
        autoincrement=False,
    )


def _texts(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.Text) for name in names]


def _runs() -> None:
    op.create_table(
        "scdiff_runs",
        _number(),
        sa.Column("batch", sa.String(200), nullable=False, index=True),
        sa.Column("role", sa.String(16), nullable=False),
        *_texts("donor"),
        sa.Column("passage", sa.Integer),
        sa.Column("culture_day", sa.Float),
        *_texts("operator", "lots", "chemistry", "specification"),
        sa.Column("collected", sa.String(32)),
        sa.Column("analysed", sa.String(32), nullable=False, index=True),
        sa.Column("scdiff", sa.Text, nullable=False),
        *_texts("versions"),
        sa.Column("options", sa.String(64)),
        *_texts("inputs", "species", "technology", "qc"),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("fractions_sha256", sa.String(64), nullable=False),
        sa.Column("result_sha256", sa.String(64)),
        sa.Column("supersedes", sa.Integer),
        *_texts("reason"),
    )


_NUMBERS = (
    *(
        "fraction",
        "fraction_low",
        "fraction_high",
        "prevalence",
        "prevalence_low",
        "prevalence_high",
    ),
    *("prevalence_low_cells", "prevalence_high_cells", "lob", "lod", "lloq"),
)


def _readouts() -> None:
    op.create_table(
        "scdiff_readouts",
        _number("runs"),
        *(
            sa.Column(name, sa.String(200), primary_key=True)
            for name in ("program", "state", "sample")
        ),
        *(sa.Column(name, sa.Integer) for name in ("n_cells", "n_called")),
        *(sa.Column(name, sa.Float) for name in _NUMBERS),
        sa.Column("verdict", sa.String(32), nullable=False),
        *_texts("why"),
        sa.Column("digest", sa.String(64), nullable=False),
    )


def _decisions_and_notes() -> None:
    op.create_table(
        "scdiff_decisions",
        _number(),
        sa.Column("run", sa.Integer, nullable=False, index=True),
        sa.Column("specification", sa.Text, nullable=False),
        *_texts("version"),
        sa.Column("decision", sa.String(32), nullable=False),
        sa.Column("sha256", sa.String(64)),
        *_texts("page", "who"),
    )
    op.create_table(
        "scdiff_notes",
        _number(),
        sa.Column("run", sa.Integer, nullable=False, index=True),
        sa.Column("chart", sa.String(16)),
        sa.Column("rule", sa.String(32)),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("cause", "action", "who")),
        sa.Column("supersedes", sa.Integer),
        *_texts("reason"),
    )


def _baselines() -> None:
    op.create_table(
        "scdiff_baselines",
        _number(),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("chart", sa.String(16), nullable=False),
        *(
            sa.Column(name, sa.String(200), nullable=False)
            for name in ("program", "state", "sample")
        ),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("phase", "runs")),
        *(
            sa.Column(name, sa.Float, nullable=False)
            for name in ("centre", "spread", "centre_error")
        ),
        sa.Column("n_detected", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("spread_error", "score_mean")),
        sa.Column("who", sa.Text, nullable=False),
        *_texts("reason"),
    )
