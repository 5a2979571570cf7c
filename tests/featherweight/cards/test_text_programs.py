"""What stands beside a network of texts makes its input of a sentence, as the dataset was made."""

from __future__ import annotations

import io

import numpy as np
import pytest

from compress.tasks import loading
from compress.tasks.formats import words
from compress.values.file_formats import onnx_header
from featherweight.cards import package, snippets, text_subject
from featherweight.cards.package import Package
from featherweight.errors import NoSnippet
from tests import text_files


def program(folder, content, kept, classes=(), language="python"):
    header = onnx_header.read(io.BytesIO(content))
    return snippets.write(text_subject.of(header, kept.settings, classes), language)


def beside(folder, content, kept):
    (folder / "net.onnx").write_bytes(content)
    files = {name: text.decode() for name, text in kept.files().items()}
    for name, text in package.written(Package(files=files, num_bytes=kept.num_bytes())).items():
        (folder / f"net.{name}").write_bytes(text)


def printed(folder, capsys, content, kept, classes, *texts):
    beside(folder, content, kept)
    module = {"__name__": "program"}
    exec(compile(program(folder, content, kept, classes), "run", "exec"), module)
    module["main"](str(folder / "net.onnx"), *texts)
    return module, capsys.readouterr().out.splitlines()


def scores(kept):
    found = np.zeros((len(kept.tables["words"]), 2))
    for place, said in enumerate((text_files.GOOD, text_files.BAD)):
        for word in said.split():
            found[kept.tables["words"].index(word), place] = 1
    return found


def test_a_sentence_is_answered_by_the_class_of_its_words(tmp_path, capsys):
    path, info = text_files.dataset(tmp_path)
    data = loading.load(path, task=info.task)
    content = text_files.bag(scores(data.words))
    _, lines = printed(
        tmp_path, capsys, content, data.words, ("good", "bad"), "GOOD, but awful. Poor!"
    )
    assert lines == ["2.00000\tbad", "1.00000\tgood"]


@pytest.mark.parametrize("word_parts", [False, True])
def test_the_program_makes_the_ids_that_the_dataset_has(word_parts, tmp_path, capsys):
    path, info = text_files.dataset(tmp_path, "sequence_labelling", word_parts=word_parts or None)
    data = loading.load(path, task=info.task)
    table = np.eye(len(data.words.tables["words"]))[:, :2]
    content = text_files.bag(table, axes=3 if word_parts else 2, sums=False)
    sentence = "The film0 is good."
    module, lines = printed(tmp_path, capsys, content, data.words, ("O", "B-X"), sentence)
    assert [line.split("\t")[0] for line in lines] == sentence.split()
    with np.load(path) as arrays:
        made = module["Words"](tmp_path / "net.onnx").encode(sentence)
        assert np.array_equal(np.atleast_2d(arrays["x_train"][0])[:, : len(made[0])], made)


def test_programs_of_other_languages_say_what_they_cannot_do(tmp_path):
    path, info = text_files.dataset(tmp_path)
    kept = loading.load(path, task=info.task).words
    with pytest.raises(NoSnippet, match="take python"):
        program(tmp_path, text_files.bag(np.eye(2)), kept, language="java")


def test_a_tokenizer_json_has_the_words_that_are_left(tmp_path):
    path, info = text_files.dataset(tmp_path)
    kept = loading.load(path, task=info.task).words
    left = words.read(kept.files((2, 4))["words.txt"])
    made = words.tokenizer_json(kept.settings, left).decode()
    assert f'"{kept.tables["words"][4]}":4' in made
    assert f'"{kept.tables["words"][3]}"' not in made
