"""A perturbed text has typos, small letters and fewer words, and is the same every time."""

from __future__ import annotations

from compress.tasks.conversion.text.perturbing import MISSING, TYPOS, Perturbation

WORDS = ["Wonderful", "Weather", "is", "here", "Today", "4ever", "!"] * 40


def test_the_same_row_is_perturbed_alike_and_another_one_not():
    text = " ".join(WORDS)
    assert Perturbation(3).text(text) == Perturbation(3).text(text) != Perturbation(4).text(text)


def test_a_typo_swaps_two_inner_letters_of_longer_words_only():
    found = Perturbation(0).tokens(WORDS)
    changed = [(new, old.lower()) for new, old in zip(found, WORDS, strict=True)]
    typed = [(new, old) for new, old in changed if new != old]
    assert {old for _, old in typed} <= {"wonderful", "weather", "here", "today"}
    assert all(
        sorted(new) == sorted(old) and (new[0], new[-1]) == (old[0], old[-1]) for new, old in typed
    )
    assert abs(len(typed) / 160 - TYPOS) < 0.1


def test_words_are_left_out_of_texts_but_never_all_of_them():
    left = Perturbation(0).text(" ".join(WORDS)).split()
    assert abs(1 - len(left) / len(WORDS) - MISSING) < 0.05
    assert all(Perturbation(row).text("Yes") == "yes" for row in range(100))


def test_tagged_words_keep_their_places():
    assert len(Perturbation(1).tokens(WORDS)) == len(WORDS)
