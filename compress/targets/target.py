"""What a target is: the runtimes that a file is for, and what its graph may therefore hold.

Free of torch and of ONNX, like the table of metrics: the service lists targets.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Runtime(BaseModel, frozen=True):
    """A runtime that loads and runs files of a target, and the versions that were tried."""

    name: str
    oldest: str
    newest: str


class ByteModel(BaseModel, frozen=True):
    """What the search counts of a file for the target before it is made."""

    packs: bool = Field(
        description="Whether weights of few bits, and zeros, take few bits; otherwise a weight of "
        "a layer of integers takes one byte, and any other four."
    )
    decoding: int = Field(
        description="Bytes of the nodes and tables that make weights of integers."
    )
    scale: int = Field(description="Bytes that a channel's scale adds.")
    half_scale: int = Field(
        description="The same of a scale of 16 bits, whose channel's bias has 16 bits, too."
    )


class IdleKnob(BaseModel, frozen=True):
    """A knob that changes no bytes of a file for the target, and could only cost accuracy."""

    knob: str = Field(description="The technique and its field, as in `quantization.weight_bits`.")
    fixed_at: Literal["off", "widest"] = Field(
        description="What it is fixed at: the value that leaves weights as they are, or the most "
        "bits, up to 8."
    )
    why: str


class Target(BaseModel, frozen=True):
    """A form of files. ``None`` for operators or types: all of the opset may be used."""

    name: str
    description: str
    runtimes: tuple[Runtime, ...] = Field(description="In which files were run and answered alike.")
    opset: int = Field(description="Newest opset that a file may say.")
    ir_version: int = Field(description="Newest version of the file format.")
    functions: bool = Field(description="Whether a file may have functions of its own.")
    constant_operators: tuple[str, ...] | None = Field(
        description="What may read nothing but constants; None: any operator."
    )
    float_operators: tuple[str, ...] = Field(
        default=(), description="What may read nothing but constants if it computes in float32."
    )
    splits_say_axis: bool = Field(
        default=False,
        description="Whether a Split of constants of several axes has to say which axis it splits.",
    )
    wide_constants: bool = Field(
        default=True,
        description="Whether more than shapes and sizes may be 64 bits wide where constants alone "
        "are read.",
    )
    element_types: tuple[str, ...] | None = Field(
        description="Types of constants; None: all of the opset."
    )
    unproven: str = Field(
        default="",
        description="Not empty: files are checked by rule alone, and were never run in the runtime "
        "that they are for. What they take in ONNX Runtime says nothing of it.",
    )
    symmetric_activations: bool = Field(
        default=False,
        description="Whether activations lie on grids of signed bytes without a zero point.",
    )
    integer_bias: Literal["int32", "float32"] = Field(
        description="Type of the bias of a layer that multiplies integers."
    )
    packings: tuple[str, ...] = Field(description="How weights of few bits may be stored.")
    bytes: str = Field(description="What the form costs.")
    counted: ByteModel = Field(description="What the search counts of it beforehand.")
    idle_knobs: tuple[IdleKnob, ...] = Field(
        default=(),
        description="What a job fixes, if it varies them, unless it compares bytes of a download, "
        "which zstd makes of any form.",
    )
