"""What is drawn: shapes, seeds, padding, and configs that are fitted to data."""

import pytest
import torch

from compress.network.families.drawn import catalog
from compress.network.graph.shapes import bind
from compress.network.signature import BATCH, Examples
from compress.network.sources import onnx_trial, safetensors
from compress.values.errors import InvalidCandidate, InvalidWeights
from tests.compress.network.families.drawn.made import CASES, LONGEST, WORDS, ids

EVERY = pytest.mark.parametrize("name", CASES)
TEXTS = [name for name, case in CASES.items() if case.config.takes_ids]


def drawing(case):
    return catalog.draw(case.fitted, input_shape=case.shape, num_classes=case.classes)


def test_every_family_is_tried():
    assert {case.config.family for case in CASES.values()} == set(catalog.DRAWN_BY_NAME)


@EVERY
def test_a_sketch_knows_the_shapes_that_onnx_infers(name):
    drawn = drawing(CASES[name])
    assert {n: drawn.bound(3)[n] for n in bind(drawn.graph, {BATCH: 3})} == bind(
        drawn.graph, {BATCH: 3}
    )


@EVERY
def test_an_outline_counts_what_the_network_has(name):
    case = CASES[name]
    outline = catalog.outline(case.fitted, input_shape=case.shape, num_classes=case.classes)
    own = case.network().module.named_parameters()
    # A product of words with a matrix is a layer; the sum behind it is not.
    counted = [p for name, p in own if not name.endswith("_bias.bias")]
    assert outline.parameters == sum(p.numel() for p in counted)
    assert outline.signature == case.network().signature
    assert outline.channels is not None
    assert outline.channels.groups


@EVERY
def test_channels_leave_in_a_runtime_as_the_outline_says(name):
    assert not onnx_trial.unproven(CASES[name].network().module.program.graph)


@EVERY
def test_the_same_seed_draws_the_same_weights(name):
    first, same, other = (CASES[name].network(seed).module.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", TEXTS)
def test_padding_changes_no_answer_and_an_empty_text_has_one(name):
    case = CASES[name]
    x, longer = padded(case)
    run = case.network().module
    mine, other = run(x), run(longer)
    if case.task == "sequence_labelling":
        words = x if x.ndim == 2 else x[:, 0]
        mine, other = mine[words > 0], other[:, :LONGEST][words > 0]
    torch.testing.assert_close(other, mine, atol=1e-6, rtol=1e-5)
    assert torch.isfinite(run(torch.zeros_like(x))).all()


def padded(case):
    words = ids(6, LONGEST, torch.Generator().manual_seed(3))
    inner = case.shape[:-1]
    x = words.reshape(6, *(1,) * len(inner), LONGEST).expand(6, *inner, LONGEST).float()
    return x, torch.cat([x, torch.zeros(6, *inner, 5)], -1)


@EVERY
def test_weights_come_back_from_their_file(name, tmp_path):
    case, path = CASES[name], tmp_path / "weights.safetensors"
    network = case.network(seed=4)
    safetensors.save(network, path)
    form = {
        "normalisation": network.normalisation,
        "input_shape": case.shape,
        "num_classes": case.classes,
    }
    found = safetensors.load(path, architecture=case.fitted, **form)
    x = case.images(3, 5).x_NCHW
    assert torch.equal(found.module(x), network.module(x))
    with pytest.raises(InvalidWeights, match="do not fit"):
        safetensors.load(path, architecture=case.fitted, **(form | {"num_classes": 7}))


def test_a_table_has_a_row_for_every_id_of_the_data_or_as_many_as_are_asked_for():
    case = CASES["word_bag"]
    assert case.fitted.words == WORDS
    asked = case.config.model_copy(update={"words": 99})
    assert asked.fitted(case.examples).words == 99


def test_features_may_have_tables_of_their_own():
    case = CASES["feature_tagger"]
    assert case.fitted.words == (WORDS,) * 3
    own = Examples(task=case.task, input_shape=case.shape, words=(30, 9, 7))
    assert case.config.fitted(own).words == (30, 9, 7)


def test_the_task_decides_how_an_encoder_answers():
    assert CASES["text_encoder"].fitted.answers == "text"
    assert CASES["text_encoder, words"].fitted.answers == "words"


@pytest.mark.parametrize(
    ("name", "changed", "words"),
    [
        ("word_bag", {"task": "sequence_labelling"}, "are for classification.*recurrent_tagger"),
        (
            "word_bag",
            {"task": "classification", "input_shape": (2, 9)},
            r"axes \(L,\), not of shape \(2, 9\); families for this data: siamese_bag, conv1d",
        ),
        ("word_bag", {"words": None}, "take ids, whole numbers from 0 on .*: send texts"),
        ("word_bag", {"task": "classification", "words": None}, "families for this data: mlp$"),
        ("siamese_bag", {"input_shape": (3, 9)}, r"axes \(2, L\), not of shape \(3, 9\)"),
        ("mlp", {"input_shape": (3, 8, 8)}, r"axes \(D,\), not of shape \(3, 8, 8\)"),
        ("recurrent_tagger", {"task": "unlabelled"}, "are for sequence_labelling, not for unl"),
        ("word_bag", {"words": (3_000_000,)}, "3,000,000 words by 12 numbers is too large"),
        ("feature_tagger", {"input_shape": (17, 9)}, "17 features, 1 to 16 are taken"),
    ],
)
def test_other_data_is_refused_in_words_that_name_the_way_out(name, changed, words):
    case = CASES[name]
    given = {"task": case.task, "input_shape": case.shape, "words": case.examples.words}
    with pytest.raises(InvalidCandidate, match=words):
        catalog.fitted(case.config, Examples(**(given | changed)))


def test_fewer_rows_than_ids_are_refused():
    case = CASES["word_bag"]
    with pytest.raises(InvalidCandidate, match="words is 7, and the data has ids up to 29"):
        case.config.model_copy(update={"words": 7}).fitted(case.examples)
