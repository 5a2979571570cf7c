"""What is wrong with plans that can be drawn. Torch-free."""

from __future__ import annotations

from compress.network.families.plans.plan import Plan
from compress.values.errors import InvalidCandidate


def check_depends(plan: Plan) -> None:
    """Raise InvalidCandidate for a network with the same answer whatever the image."""
    if plan.is_constant:
        raise InvalidCandidate(
            "no path leads through the cell of this network, so it answers alike whatever the "
            "image: give operations other than 'none' to edges from its input to its output"
        )
