"""A model may be an ONNX file, which is inspected before jobs may use it.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_INSPECTING = sa.text("state = 'inspecting'")
_ADDED = ("state", "reasons", "outline", "inspections", "inspection_until")


def upgrade() -> None:
    with op.batch_alter_table("fw_models") as models:
        models.add_column(
            sa.Column(
                "state", sa.String(length=20), nullable=False, server_default=sa.text("'ready'")
            )
        )
        models.add_column(sa.Column("reasons", sa.JSON(none_as_null=True), nullable=True))
        models.add_column(sa.Column("outline", sa.JSON(none_as_null=True), nullable=True))
        models.add_column(
            sa.Column("inspections", sa.Integer(), nullable=False, server_default=sa.text("0"))
        )
        models.add_column(sa.Column("inspection_until", sa.Float(), nullable=True))
    op.create_index(
        "ix_fw_models_inspecting",
        "fw_models",
        ["created_at", "id"],
        sqlite_where=_INSPECTING,
        postgresql_where=_INSPECTING,
    )


def downgrade() -> None:
    op.drop_index("ix_fw_models_inspecting", "fw_models")
    with op.batch_alter_table("fw_models") as models:
        for column in _ADDED:
            models.drop_column(column)
