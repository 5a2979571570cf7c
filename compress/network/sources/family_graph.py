"""A network of a family as a graph of operators, from its config alone. Torch-free."""

from __future__ import annotations

from compress.network.families.catalog import plan_of
from compress.network.families.plans.lowering import lower
from compress.network.graph.values import Graph
from compress.network.signature import ExampleShape, Signature
from compress.network.sources.source import FamilySource


def lowered(source: FamilySource, *, input_shape: ExampleShape, num_classes: int) -> Graph:
    """Lower the network for images ``(C, H, W)`` without building it.

    Raises InvalidCandidate for a network that answers alike whatever the image, and where maps
    cannot be laid out as a vector at that size.
    """
    plan = plan_of(source.config, in_channels=input_shape[0], num_classes=num_classes)
    return lower(plan, Signature.of_examples(input_shape, num_classes=num_classes))
