"""The networks of NAS-Bench-201, as plans.

Dong and Yang, arXiv:2001.00326, section 2.1 and figure 1. A layer's name holds its stage, block,
edge and operation, so that members share the weights of an operation wherever they have it (Pham et
al., ENAS, arXiv:1802.03268, section 2.1; Liu et al., DARTS, arXiv:1806.09055, section 2.2). The
aliases are the names of the published networks, which count cells and edges through.

There an edge with a convolution that reads only zeros adds the constant of its BatchNorm; here it
is not computed. The benchmark's own count of 6,466 different cells takes it for nothing too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compress.network.families.nasbench201.config import EDGES, LAST_NODE, NasBench201
from compress.network.families.plans.plan import (
    Activate,
    Cell,
    Chain,
    Conv,
    Edge,
    Linear,
    Names,
    Norm,
    Plan,
    Pool,
    Resize,
    Sum,
)
from compress.network.member import OPERATIONS

_KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a block is: by its stage, and among all blocks as the published networks count."""

    stage: int
    block: int
    index: int
    width: int

    @property
    def name(self) -> str:
        return f"stages.{self.stage}.{self.block}"

    @property
    def alias(self) -> str:
        return f"cells.{self.index}"


def draw(config: NasBench201, in_channels: int, num_classes: int) -> Plan:
    """A 3x3 stem, three stages, BatchNorm, average pooling and a linear layer."""
    widest = 4 * config.channels
    stem = Conv(
        name="stem.conv",
        norm="stem.norm",
        alias=("stem.0", "stem.1"),
        inputs=in_channels,
        outputs=config.channels,
        kernel=(3, 3),
    )
    first: Chain = () if config.resolution is None else (Resize(side=config.resolution),)
    return Plan(
        stem=(*first, stem),
        stages=tuple(_stages(config)),
        head=(
            Norm(name="last.norm", alias="lastact.0", channels=widest, activation="relu"),
            Pool(kind="global"),
            Linear(name="linear", alias="classifier", inputs=widest, outputs=num_classes),
        ),
    )


def _stages(config: NasBench201) -> Iterator[tuple[Chain, ...]]:
    index = 0
    for stage, blocks in enumerate(config.blocks):
        width = config.channels * 2**stage
        places = [
            _Place(stage=stage, block=block, index=index + block, width=width)
            for block in range(blocks)
        ]
        yield tuple(
            _reduction(place) if stage > 0 and place.block == 0 else (_cell(config, place),)
            for place in places
        )
        index += blocks


def _cell(config: NasBench201, place: _Place) -> Cell:
    edges = [
        (target, Edge(source=source, chain=_operation(name, place, edge, is_alone=held != "all")))
        for edge, ((source, target), held) in enumerate(zip(EDGES, config.cell, strict=True))
        for name in (OPERATIONS if held == "all" else (held,))
        if name != "none"
    ]
    return Cell(
        nodes=tuple(
            tuple(edge for target, edge in edges if target == node)
            for node in range(1, LAST_NODE + 1)
        )
    )


def _operation(name: str, place: _Place, edge: int, *, is_alone: bool) -> Chain:
    """An operation of an edge; only one that is there alone has a published name."""
    if name == "skip_connect":
        return ()
    if name == "avg_pool_3x3":
        return (Pool(kind="average", kernel=3),)
    alias = f"{place.alias}.layers.{edge}.op"
    return _convolved(
        f"{place.name}.edges.{edge}.{name}",
        (f"{alias}.1", f"{alias}.2") if is_alone else None,
        place.width,
        place.width,
        kernel=_KERNELS[name],
    )


def _reduction(place: _Place) -> Chain:
    """Half the image, twice the channels: two convolutions, and a pool with a third beside them."""
    narrow, wide = place.width // 2, place.width
    shortcut = Conv(
        name=f"{place.name}.downsample.conv",
        alias=(f"{place.alias}.downsample.1", None),
        inputs=narrow,
        outputs=wide,
        kernel=(1, 1),
    )
    body = (
        *_convolved(*_names(place, "conv_a"), narrow, wide, kernel=3, stride=2),
        *_convolved(*_names(place, "conv_b"), wide, wide, kernel=3),
    )
    pool = Pool(kind="average", kernel=2, stride=2, round_up=True)
    return (Sum(branches=(body, (pool, shortcut))),)


def _names(place: _Place, part: str) -> tuple[str, Names]:
    alias = f"{place.alias}.{part}.op"
    return f"{place.name}.{part}", (f"{alias}.1", f"{alias}.2")


def _convolved(
    name: str, alias: Names | None, inputs: int, outputs: int, *, kernel: int, stride: int = 1
) -> Chain:
    """ReLU, convolution, BatchNorm."""
    return (
        Activate(activation="relu"),
        Conv(
            name=f"{name}.conv",
            norm=f"{name}.norm",
            alias=alias,
            inputs=inputs,
            outputs=outputs,
            kernel=(kernel, kernel),
            stride=stride,
        ),
    )
