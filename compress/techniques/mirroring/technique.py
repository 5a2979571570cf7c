"""The description of ``mirroring``."""

from __future__ import annotations

from compress.techniques.description.costs import Costs, Fields, FieldValues
from compress.techniques.description.technique import Technique
from compress.techniques.mirroring.config import VIEWS, Mirroring


class _Costs(Costs):
    """Every view costs the multiply-accumulates of the network; weights are stored once."""

    def runs(self, fields: Fields) -> int:
        """Return the number of views."""
        return len(VIEWS[fields["flip"]])

    def run_range(self, values: FieldValues) -> tuple[int, int]:
        """Return the fewest and the most views."""
        runs = [len(VIEWS[flip]) for flip in values("flip")]
        return min(runs), max(runs)


TECHNIQUE = Technique(
    name="mirroring",
    config=Mirroring,
    summary="Answer with the mean over the image and its mirror image.",
    acts_on=frozenset({"output"}),
    disabled={"flip": "none"},
    composes={
        "family_member": "The member answers for every view.",
        "filter_pruning": "The channels that are left answer for every view.",
        "low_rank": "The factors answer for every view.",
        "distillation": "The network learns from single views of an image.",
        "sparsity": "Zeros are zeros for every view; nothing is stored twice.",
        "weight_sharing": "One codebook decodes the weights of all views.",
        "quantization": "The views share one grid, chosen for images as they come.",
    },
    costs=_Costs(),
)
