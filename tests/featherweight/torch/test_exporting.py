"""Modules as people have them, written as ONNX and compared."""

import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

from featherweight.torch.exporting import ExportFailed, export

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        # As after training: the older exporter writes equal tensors once.
        nn.init.uniform_(self.bn1.weight, 0.5, 1.5)
        nn.init.uniform_(self.bn1.running_var, 0.5, 1.5)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(functional.relu(self.bn1(self.conv1(x))).mean((2, 3)))


class Answers(Plain):
    def forward(self, x):
        logits = super().forward(x)
        return {"logits": logits, "doubled": 2 * logits}


class FixedBatch(Plain):
    def forward(self, x):
        return super().forward(x).reshape(4, 5)


class Random(Plain):
    def forward(self, x):
        return super().forward(x) + torch.rand(5)


class Counting(Plain):
    """Legacy traces this loop as it went once; torch.export refuses it."""

    def forward(self, x):
        logits = super().forward(x)
        for _ in range(int(x.sum().item()) % 3):
            logits = logits * 2
        return logits


@pytest.fixture
def path(tmp_path):
    return tmp_path / "module.onnx"


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_the_file_answers_like_the_module_and_keeps_its_norms_and_names(path, exporter):
    network = Plain().train()
    done = export(network, IMAGES, path, exporter=exporter)
    assert done.error < 1e-5
    graph = onnx.load(path).graph
    assert "BatchNormalization" in {node.op_type for node in graph.node}
    assert {"conv1.weight", "bn1.running_var", "fc.bias"} <= {t.name for t in graph.initializer}
    assert [port.name for port in (*graph.input, *graph.output)] == ["input", "output"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param != ""
    assert network.training


def test_one_image_is_enough_of_an_example(path):
    assert export(Plain(), IMAGES[:1], path).exporter == "legacy"


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_what_training_wraps_around_a_module_is_taken_off(path, wrap):
    export(wrap(Plain()), IMAGES, path)
    assert "conv1.weight" in {tensor.name for tensor in onnx.load(path).graph.initializer}


def test_one_of_several_answers_is_picked_by_name(path):
    with pytest.raises(ExportFailed, match=r"2 answers \('logits': float32 of shape \(4, 5\)"):
        export(Answers(), IMAGES, path)
    with pytest.raises(ExportFailed, match="name one of them with output="):
        export(Answers(), IMAGES, path, output="other")
    assert export(Answers(), IMAGES, path, output="doubled").error < 1e-5


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (FixedBatch(), r"not on \(1, 3, 16, 16\).*written into it"),
        (Random(), "differs from call to call"),
        (Counting(), "off by .* branch on its input"),
    ],
)
def test_a_file_that_would_answer_otherwise_is_not_delivered(path, network, said):
    with pytest.raises(ExportFailed, match=said):
        export(network, IMAGES, path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (IMAGES.half(), "float16 of shape"),
        (IMAGES.numpy(), "got ndarray"),
        (IMAGES[0, 0, 0], r"got shape \(16,\)"),
        (torch.rand(4, 1, 16, 16), "does not run on float32 of shape"),
    ],
)
def test_examples_that_cannot_be_used_are_said_to_be_so(path, images, said):
    with pytest.raises(ExportFailed, match=said):
        export(Plain(), images, path)


def test_a_module_that_answers_with_no_tensor_is_refused(path):
    class Words(nn.Module):
        def forward(self, x):
            return x.shape[0]

    with pytest.raises(ExportFailed, match="must answer with a tensor, got int"):
        export(Words(), IMAGES, path)


class Pooled(nn.Module):
    """The mean of words that a mask leaves, and how many these are."""

    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(20, 8), nn.Linear(8, 3)

    def forward(self, input_ids, scale=None, attention_mask=None):
        mask = attention_mask.float().unsqueeze(-1)
        total = (self.table(input_ids) * mask).sum(1)
        return {"scores": self.head(total / mask.sum(1)), "count": mask.sum(1)}


IDS = torch.randint(1, 20, (4, 6), generator=torch.Generator().manual_seed(0))
PAIR = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}


def shapes_of(path):
    graph = onnx.load(path).graph
    return {
        port.name: [dim.dim_param or dim.dim_value for dim in port.type.tensor_type.shape.dim]
        for port in (*graph.input, *graph.output)
    }


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_several_arguments_and_answers_keep_their_names(path, exporter):
    asked = ("count", "scores")
    done = export(Pooled(), PAIR, path, exporter=exporter, output=asked, open_length=True)
    assert done.error < 1e-5
    found = shapes_of(path)
    assert list(found) == ["input_ids", "attention_mask", "count", "scores"]
    assert found["input_ids"] == found["attention_mask"] == ["batch", "length"]
    assert found["scores"] == ["batch", 3]


def test_a_length_stays_that_of_the_examples_unless_it_is_asked_for(path):
    export(Pooled(), PAIR, path, output="scores")
    assert shapes_of(path)["input_ids"] == ["batch", 6]


def test_a_length_that_is_written_into_a_module_is_found(path):
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(20, 8)

        def forward(self, input_ids):
            return self.table(input_ids).reshape(-1, 48).sum(1, keepdim=True)

    assert export(Fixed(), IDS, path).error < 1e-5
    with pytest.raises(ExportFailed, match=r"on \(1, 6\), but not on \(1, 3\)"):
        export(Fixed(), IDS[:1], path, open_length=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"input_ids": IDS, "attention_mask": IDS[:2]}, "as many examples for every argument"),
        ({"input_ids": IDS, "attention_mask": None}, "one by the name of each .* got NoneType"),
        ({"input_ids": IDS, "mask": IDS}, "does not run on int64"),
    ],
)
def test_arguments_that_cannot_be_used_are_said_to_be_so(path, given, said):
    with pytest.raises(ExportFailed, match=said):
        export(Pooled(), given, path, output="scores")
