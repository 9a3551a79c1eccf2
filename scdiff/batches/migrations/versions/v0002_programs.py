"""Add the content of the programmes to the table of runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; earlier runs have no value, so their hashes do not change."""
    op.add_column("scdiff_runs", sa.Column("programs", sa.Text))
