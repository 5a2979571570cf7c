"""Replace a network by a smaller member of its family, made by the context's ``members``."""

from __future__ import annotations

from compress.techniques.compressed import CompressedModel
from compress.techniques.family_member.config import FamilyMember
from compress.training.context import TrialContext
from compress.values.errors import InvalidCandidate


def apply(
    compressed: CompressedModel, config: FamilyMember, context: TrialContext
) -> CompressedModel:
    """Return the member of that shape; the network itself, with a note, if that is all of it.

    Raises InvalidCandidate for a network of no family, if it asks for a supernet and there is none,
    and for a member that gives the same answer whatever the image.
    """
    network = compressed.network
    if context.members is None:
        raise InvalidCandidate(
            f"only a network of a family has members, not {type(network.module).__name__}"
        )
    student = context.members.member(
        network, config.shape, weights=config.weights, supernet=context.supernet, seed=context.seed
    )
    if student is network:
        note = "family_member: its shape keeps all of the network"
        return compressed.evolve(notes=(*compressed.notes, note))
    return compressed.after(config, network=student)
