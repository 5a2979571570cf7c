"""The inverted residual of MobileNetV2, with squeeze and excitation or without, as part of a plan.

Sandler et al., arXiv:1801.04381, section 3.3: a 1x1 convolution widens, a depthwise one sees space,
a linear 1x1 narrows; squeeze and excitation (Hu et al., arXiv:1709.01507) stands before the last.
Names follow torchvision, which numbers the parts of a block; other names follow timm.
"""

from __future__ import annotations

from dataclasses import dataclass

from compress.network.families.plans.plan import Activation, Chain, Conv, Excite, Sum

_POINT = (1, 1)


@dataclass(frozen=True, kw_only=True)
class Squeeze:
    """Squeeze and excitation: its channels, the activation between its layers, and that behind."""

    channels: int
    activation: Activation
    gate: Activation


@dataclass(frozen=True, kw_only=True)
class InvertedResidual:
    """One block.

    ``prefix`` is torchvision's, ``other`` timm's. ``last`` are torchvision's numbers of the last
    convolution and its BatchNorm, which stay where parts before them are left out, so that a block
    is a slice of the published one. ``inner`` are the channels of the depthwise convolution; where
    nothing widens they are the ``inputs``.
    """

    prefix: str
    other: str
    inputs: int
    inner: int
    outputs: int
    kernel: int
    stride: int
    activation: Activation
    is_expanded: bool
    is_added: bool
    last: tuple[str, str]
    squeeze: Squeeze | None = None

    @property
    def first(self) -> int:
        """Number of the depthwise convolution."""
        return 1 if self.is_expanded else 0

    def chain(self) -> Chain:
        """The block; where it adds its input, as one sum."""
        expand = (self._expand(),) if self.is_expanded else ()
        excite = (self._excite(self.squeeze),) if self.squeeze is not None else ()
        body: Chain = (*expand, self._depthwise(), *excite, self._project())
        return (Sum(branches=(body, ())),) if self.is_added else body

    def _expand(self) -> Conv:
        return Conv(
            name=f"{self.prefix}.0.0",
            norm=f"{self.prefix}.0.1",
            alias=(f"{self.other}.conv_pw", f"{self.other}.bn1"),
            inputs=self.inputs,
            outputs=self.inner,
            kernel=_POINT,
            activation=self.activation,
        )

    def _depthwise(self) -> Conv:
        return Conv(
            name=f"{self.prefix}.{self.first}.0",
            norm=f"{self.prefix}.{self.first}.1",
            alias=(f"{self.other}.conv_dw", f"{self.other}.bn{self.first + 1}"),
            inputs=self.inner,
            outputs=self.inner,
            kernel=(self.kernel, self.kernel),
            stride=self.stride,
            groups=self.inner,
            activation=self.activation,
        )

    def _excite(self, squeeze: Squeeze) -> Excite:
        prefix = f"{self.prefix}.{self.first + 1}"
        return Excite(
            reduce=Conv(
                name=f"{prefix}.fc1",
                alias=(f"{self.other}.se.conv_reduce", None),
                inputs=self.inner,
                outputs=squeeze.channels,
                kernel=_POINT,
                bias=True,
                activation=squeeze.activation,
            ),
            expand=Conv(
                name=f"{prefix}.fc2",
                alias=(f"{self.other}.se.conv_expand", None),
                inputs=squeeze.channels,
                outputs=self.inner,
                kernel=_POINT,
                bias=True,
                activation=squeeze.gate,
            ),
        )

    def _project(self) -> Conv:
        conv, norm = self.last
        other = "conv_pwl" if self.is_expanded else "conv_pw"
        return Conv(
            name=f"{self.prefix}.{conv}",
            norm=f"{self.prefix}.{norm}",
            alias=(f"{self.other}.{other}", f"{self.other}.bn{self.first + 2}"),
            inputs=self.inner,
            outputs=self.outputs,
            kernel=_POINT,
        )
