"""A sampler that knows some objectives in advance and learns the others (docs/samplers)."""

from search.samplers.known_cost.knowledge import CostFunction, Knowledge
from search.samplers.known_cost.sampler import KnownCostSampler

__all__ = ["CostFunction", "Knowledge", "KnownCostSampler"]
