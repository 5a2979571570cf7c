"""Depthwise-separable networks for keyword spotting, as plans.

Zhang et al., arXiv:1711.07128, section 3.5. Names follow the variables of the published TensorFlow
code (``conv_1``, ``conv_ds_1/dw_conv``, ``fc1``), dots for slashes. The convolutions have no bias:
BatchNorm's stands for it, as in the sizes that the paper counts. A strided block pads its maps on
both sides; TensorFlow pads an even side only at its end.
"""

from __future__ import annotations

from compress.network.families.ds_cnn.config import DsCnn
from compress.network.families.plans.plan import (
    Border,
    Chain,
    Conv,
    Linear,
    Plan,
    Pool,
    Resize,
    Size,
)


def draw(config: DsCnn, in_channels: int, num_classes: int) -> Plan:
    """A large first kernel, the blocks, average pooling and a linear layer."""
    channels = config.channels
    first = _conv("conv_1", in_channels, channels, config.stem_kernel, stride=config.stem_stride)
    resize = () if config.resolution is None else (Resize(side=config.resolution),)
    return Plan(
        stem=(*resize, *_border(config.stem_kernel), first),
        stages=(tuple(_block(config, block) for block in range(config.depth)),),
        head=(Pool(kind="global"), Linear(name="fc1", inputs=channels, outputs=num_classes)),
    )


def _border(kernel: Size) -> Chain:
    """What an even side lacks to put out ``side / stride`` rows, rounded up, as published."""
    below, right = ((side - 1) % 2 for side in kernel)
    return (Border(below=below, right=right),) if below or right else ()


def _block(config: DsCnn, block: int) -> Chain:
    prefix, channels = f"conv_ds_{block + 1}", config.channels
    kernel, stride = (config.kernel, config.kernel), config.stride if block == 0 else 1
    return (
        _conv(
            f"{prefix}.dw_conv",
            channels,
            channels,
            kernel,
            stride=(stride, stride),
            groups=channels,
        ),
        _conv(f"{prefix}.pw_conv", channels, channels, (1, 1)),
    )


def _conv(
    name: str, inputs: int, outputs: int, kernel: Size, *, stride: Size = (1, 1), groups: int = 1
) -> Conv:
    return Conv(
        name=name,
        norm=f"{name}_norm",
        inputs=inputs,
        outputs=outputs,
        kernel=kernel,
        stride=stride,
        groups=groups,
        activation="relu",
    )
