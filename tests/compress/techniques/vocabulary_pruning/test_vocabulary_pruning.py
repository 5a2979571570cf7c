"""A table with fewer words answers as the whole one does for the unknown word in their place."""

import typing
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from compress import delivery, pipeline
from compress.evaluation import runtime
from compress.network.graph.view import absorbing
from compress.targets import registry as targets
from compress.tasks.images import Images
from compress.techniques.candidate import Candidate
from compress.techniques.quantization.config import Quantization
from compress.techniques.registry import TECHNIQUES
from compress.techniques.vocabulary_pruning import tables
from compress.techniques.vocabulary_pruning.config import Rule, VocabularyPruning
from compress.training import constraints, inference
from compress.values.errors import InvalidCandidate
from tests.compress.network.families.drawn.made import CASES, CPU, WORDS

NAMES = ["word_bag", "siamese_bag", "feature_tagger", "text_encoder", "recurrent_tagger, lstm"]
RULES = typing.get_args(Rule)
THIRD = VocabularyPruning(keep=0.34)


def started(name, *steps, train=None):
    case = CASES[name]
    data = case.data() if train is None else replace(case.data(), train=train)
    network = case.network()
    context = case.context(data)
    return network, context, pipeline.start(network, Candidate(steps=steps), context)


def answers(network, x):
    return inference.logits(network, x, device=CPU)


def graph_of(network):
    module = network.module
    return absorbing.layered(module, module.program_for(network.signature)).graph


def tables_of(network, smaller):
    """The tables of words of a network and of the smaller one, as they are read."""
    before, after = graph_of(network), graph_of(smaller)
    names = [table.tensor for table in tables.find(before).tables]
    return [(before.tensors[name], after.tensors[name]) for name in names]


def stays(before, after):
    """Whether each row of a table is among those of the smaller one."""
    return torch.tensor([bool((after == row).all(axis=1).any()) for row in before])


@pytest.mark.parametrize("name", NAMES)
def test_words_that_leave_are_the_unknown_one(name):
    network, context, compressed = started(name, THIRD)
    pairs = tables_of(network, compressed.network)
    assert [len(after) for _, after in pairs] == [10] * len(pairs)
    stays_TV = [stays(*pair) for pair in pairs]
    assert set(compressed.kept_words) == set(torch.nonzero(stays_TV[0]).flatten().tolist())
    x = context.data.validation.x_NCHW
    # Features of a word lie side by side, each with a table of its own.
    features = x.unbind(1) if name == "feature_tagger" else (x,)
    left = [
        torch.where(own[ids.long()], ids, 1.0) for own, ids in zip(stays_TV, features, strict=True)
    ]
    left = torch.stack(left, 1) if name == "feature_tagger" else left[0]
    assert not torch.equal(left, x)
    torch.testing.assert_close(answers(compressed.network, x), answers(network, left))


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_keeps_padding_and_the_unknown_word(rule):
    _, _, compressed = started("word_bag", VocabularyPruning(keep=0.2, rule=rule))
    assert {0, 1} < set(compressed.kept_words)
    assert len(compressed.kept_words) == 6
    assert f"keeps 6 of 30 words by {rule}" in " ".join(compressed.notes)


def test_effect_is_how_far_the_answers_to_all_examples_move():
    whole = CASES["word_bag"].data().train
    train = Images(x_NCHW=whole.x_NCHW[:48], y_N=whole.y_N[:48])
    network, _, compressed = started("word_bag", THIRD, train=train)
    x, effect = train.x_NCHW, {}
    for word in range(2, WORDS):
        assert (x == word).any(1).sum() <= 16
        moved = answers(network, torch.where(x == word, 1.0, x)) - answers(network, x)
        effect[word] = float(moved.abs().amax(1).sum())
    best = sorted(effect, key=lambda word: -effect[word])[:8]
    assert set(compressed.kept_words) == {0, 1, *best}


def by_rank():
    """Examples of which the first 2, 3, ... words of the vocabulary are all there is."""
    row_N1, place_L = torch.arange(90)[:, None] % 9, torch.arange(9)
    x_NL = torch.where(place_L <= row_N1, place_L + 2, 0).float()
    return Images(x_NCHW=x_NL, y_N=(row_N1[:, 0] > 4).long())


def test_the_first_words_need_no_list(tmp_path):
    step = VocabularyPruning(keep=0.34, rule="frequency")
    _, context, compressed = started("word_bag", step, train=by_rank())
    assert compressed.kept_words == 10
    artifact = written(compressed, context, tmp_path, "onnxruntime")
    assert artifact.kept_words == 10
    model = onnx.load(artifact.path)
    assert "Where" in {node.op_type for node in model.graph.node}
    assert max(max(t.dims, default=1) for t in model.graph.initializer) == 12


@pytest.mark.parametrize("target", ["onnxruntime", "portable"])
def test_files_take_the_ids_of_before(target, tmp_path):
    _, context, compressed = started("word_bag", THIRD)
    artifact = written(compressed, context, tmp_path, target)
    assert artifact.kept_words == compressed.kept_words
    x = context.data.validation.x_NCHW
    given = runtime.answers(runtime.session(artifact.path), x)
    np.testing.assert_allclose(given, answers(compressed.network, x), atol=1e-5)


def written(compressed, context, folder, target):
    return delivery.write(
        compressed, folder, target=targets.find(target), data=context.data, task=context.task
    )


@pytest.mark.parametrize("rule", ["frequency", "random"])
def test_words_that_leave_share_rows(rule, tmp_path):
    step = VocabularyPruning(keep=0.34, rule=rule, buckets=4)
    bits = Quantization(activations="float")
    network, context, compressed = started("word_bag", step, bits, train=by_rank())
    assert compressed.kept_words is None
    ((_, table),) = tables_of(network, constraints.bake(compressed.network)[0])
    assert len(table) == 14
    artifact = written(compressed, context, tmp_path, "onnxruntime")
    assert artifact.parameters == 14 * 12 + 12 * 8 + 8 + 8 * 2 + 2


def test_networks_without_tables_and_unknown_words_beyond_the_table_are_refused():
    for name, step, words in [
        ("mlp", THIRD, "no table whose rows are picked by ids"),
        ("word_bag", VocabularyPruning(unknown=30), "has the words 0 to 29"),
    ]:
        with pytest.raises(InvalidCandidate, match=words):
            started(name, step)


def test_it_comes_before_techniques_that_constrain_weights():
    names = [technique.name for technique in TECHNIQUES]
    assert names.index("vocabulary_pruning") < names.index("low_rank") < names.index("quantization")
