"""Operators that work value by value."""

import numpy as np
import pytest

from tests.compress.network.graph.view.operators.cases import (
    FLAGS,
    IN_CASE,
    INSIDE,
    MAP,
    POSITIVE,
    assert_computes,
    case,
    ints,
)

UNARY = {
    "Acos": INSIDE,
    "Acosh": POSITIVE + 1,
    "Asin": INSIDE,
    "Atanh": INSIDE * 0.9,
    "Log": POSITIVE,
    "Sqrt": POSITIVE,
    "Reciprocal": POSITIVE,
}
PLAIN = (
    "Abs",
    "Asinh",
    "Atan",
    "Ceil",
    "Cos",
    "Cosh",
    "Erf",
    "Exp",
    "Floor",
    "HardSwish",
    "Identity",
    "IsNaN",
    "Mish",
    "Neg",
    "Relu",
    "Round",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Tan",
    "Tanh",
)

CASES = [
    *(case(op, [UNARY.get(op, MAP)]) for op in (*PLAIN, *UNARY)),
    *(
        case(op, [POSITIVE, POSITIVE[:, :, :1]], varies=2)
        for op in ("Add", "Sub", "Mul", "Div", "Pow")
    ),
    case("Div", [ints(7, -7, 9), ints(2, 2, 4)], name="whole numbers", varies=2),
    case("Mod", [MAP, POSITIVE], name="as in C", varies=2, fmod=1),
    case("Mod", [ints(7, -7), ints(3, 3)], varies=2),
    *(
        case(op, [MAP, MAP[:, :, :1]], varies=2)
        for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    ),
    *(case(op, [FLAGS, FLAGS[:, :1]], varies=2) for op in ("And", "Or", "Xor")),
    case("Not", [FLAGS]),
    case("IsInf", [np.asarray([1.0, np.inf, -np.inf], np.float32)]),
    *(case(op, [MAP, MAP[:1] + 1, MAP[:, :1]], varies=3) for op in ("Max", "Mean", "Min", "Sum")),
    case("Where", [FLAGS, MAP, MAP[:, :1]], varies=3),
    case("Clip", [MAP, np.float32(-0.5), np.float32(0.5)]),
    case("Clip", [MAP, None, np.float32(0.5)], name="above"),
    case("Cast", [MAP * 3], to=7),
    case("Cast", [ints(1, 0, 3)], name="to bool", to=9),
    case("LeakyRelu", [MAP], alpha=0.2),
    case("Elu", [MAP], alpha=0.7),
    case("Celu", [MAP], alpha=0.7),
    case("Selu", [MAP]),
    case("ThresholdedRelu", [MAP], alpha=0.3),
    case("Shrink", [MAP], lambd=0.4, bias=0.1),
    case("HardSigmoid", [MAP], alpha=0.3, beta=0.4),
    case("Gelu", [MAP]),
    case("Gelu", [MAP], name="by tanh", approximate="tanh"),
    case("Softmax", [MAP], axis=1),
    case("LogSoftmax", [MAP]),
]


@pytest.mark.parametrize(IN_CASE, CASES)
def test_an_operator_computes_what_onnx_runtime_computes(op, inputs, outputs, varies, attributes):
    assert_computes(op, inputs, outputs, varies, attributes)
