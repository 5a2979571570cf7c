"""The errors of this room: each class is a fact, and its name is the code that a user sees."""


class CompressError(Exception):
    """The network could not be compressed as asked."""


class InvalidCandidate(CompressError):
    """The candidate does not fit the network it was meant for."""


class NumericalError(CompressError):
    """A weight, an activation or a measurement was not a finite number."""


class ExportParityError(CompressError):
    """The exported file does not answer like the network it was exported from."""


class InvalidWeights(CompressError):
    """The weights file is not safetensors, is too large, or does not fit the family."""


class InvalidNetwork(CompressError):
    """The file is no network, is too large, or holds what cannot be taken over."""


class InvalidData(CompressError):
    """The dataset file is not a bounded npz of the expected arrays."""


class Stopped(CompressError):
    """The caller asked for the work to stop."""


class UnknownTarget(CompressError):
    """There is no target of that name."""


class TargetRuleBroken(CompressError):
    """The file holds what its target does not allow."""


class TargetParityError(CompressError):
    """The file of another target does not answer like the one it was made of."""
