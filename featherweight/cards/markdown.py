"""A model card as Markdown. Whatever came from a user is shown as text."""

from __future__ import annotations

from collections.abc import Iterable

from featherweight.cards.card import CardInput, CardRuntime, CardText, ModelCard
from featherweight.cards.escaping import markdown as text
from featherweight.specs.objective import QualitySchema

_MOST_CLASSES = 100
_MOST_NOTES = 50
_LONG = 2000


def write(card: ModelCard) -> str:
    """Return the card as CommonMark with tables (GitHub's dialect)."""
    parts = (
        _head(card),
        _section("File", _file(card)),
        _section("Where it runs", _target(card)),
        _section("Input", _input(card)),
        _section("From a text to the input", _text(card.text)),
        _section("Output", _output(card)),
        _section("Accuracy", _accuracy(card)),
        _section("Costs", _costs(card)),
        _section("Where it comes from", _origin(card)),
        _section("Notes", [f"- {text(note, most=_LONG)}" for note in card.notes[:_MOST_NOTES]]),
    )
    return "\n".join(line for part in parts for line in part)


def _head(card: ModelCard) -> list[str]:
    return [
        f"# {text(card.file.name)}",
        "",
        f"{text(card.network, most=_LONG)}, compressed: {text(card.description, most=_LONG)}.",
        "",
    ]


def _section(title: str, lines: Iterable[str]) -> list[str]:
    found = list(lines)
    return [f"## {title}", "", *found, ""] if found else []


def _facts(rows: Iterable[tuple[str, str | None]]) -> list[str]:
    """Return a table of names and values; those without a value are left out."""
    told = [f"| {name} | {value} |" for name, value in rows if value is not None]
    return ["| what | value |", "| --- | --- |", *told]


def _file(card: ModelCard) -> list[str]:
    file = card.file
    is_measured = file.sha256 == file.measured_sha256
    return _facts(
        [
            ("SHA-256", f"`{file.sha256}`"),
            ("measured file", None if is_measured else f"`{file.measured_sha256}`"),
            ("bytes", f"{file.size_bytes:,}"),
            ("compressed (zstd 19)", _counted(file.download_bytes)),
            ("opset, IR", f"{file.opset}, {file.ir_version}"),
            ("licence", text(card.licence or "not said", most=_LONG)),
        ]
    )


def _target(card: ModelCard) -> list[str]:
    rows = [_runtime(runtime) for runtime in card.target.runtimes]
    said = f"Target `{card.target.name}`: {text(card.target.description, most=_LONG)}"
    if not rows:
        return [said, "", f"**{text(card.target.unproven, most=_LONG)}**"]
    return [
        said,
        "",
        "| runtime | versions | this file |",
        "| --- | --- | --- |",
        *rows,
    ]


def _runtime(runtime: CardRuntime) -> str:
    return f"| {text(runtime.name)} | {_versions(runtime)} | {text(runtime.proof, most=_LONG)} |"


def _versions(runtime: CardRuntime) -> str:
    return f"{text(runtime.oldest)} to {text(runtime.newest)}"


def _input(card: ModelCard) -> list[str]:
    given = card.input
    low, high = given.value_range
    norm = given.normalisation
    return _facts(
        [
            ("name", text(given.name, most=_LONG)),
            ("type", text(given.dtype)),
            ("axes", _axes(given.axes) + (f" as {given.layout}" if given.layout else "")),
            _example(given),
            ("values", f"raw, {low:g} to {high:g} as in the dataset"),
            ("normalisation", "inside the file: give raw values"),
            ("what it computes", f"(x · {norm.scale:g} - mean) / std"),
            ("mean", ", ".join(f"{value:g}" for value in norm.mean)),
            ("std", ", ".join(f"{value:g}" for value in norm.std)),
        ]
    )


def _example(given: CardInput) -> tuple[str, str]:
    if given.layout is None:
        return "example", " x ".join(map(str, given.shape))
    channels, height, width = given.shape
    return "image", f"{channels} channels, {height} high, {width} wide"


_CUTS = {
    "text": "every match of the pattern is a word",
    "words": "a sentence comes as words",
    "parts": "a sentence comes as words; each is four ids: word, last and first three characters, "
    "shape",
    "tokenizer": "tokenizer.json cuts",
}


def _text(found: CardText | None) -> list[str]:
    if found is None:
        return []
    settings, kept = found.settings, found.kept_words
    facts = _facts(
        [
            ("words", _CUTS[settings.cut]),
            ("pattern", f"`{settings.pattern}`".replace("|", "\\|") if settings.pattern else None),
            ("small letters", "first of all" if settings.lower_case else "no, words keep theirs"),
            ("ids", f"{', '.join(f'{size:,}' for size in found.vocabulary)}; 0 pads at the right"),
            ("words told apart", _counted(kept)),
            ("unknown words", f"id {settings.unknown}"),
            ("longest text", f"{settings.max_length:,} words, the rest is cut off"),
            ("bytes with words and settings", _counted(found.package_bytes)),
        ]
    )
    return [
        *facts,
        "",
        "The files beside the network have its name and end with `.settings.json` and `.words.txt` "
        "(a word a line, the first being id 2, an empty line being a word that the network does "
        "not tell apart), or with `.tokenizer.json`. `featherweight snippet` writes a program.",
    ]


def _output(card: ModelCard) -> list[str]:
    answer = card.output
    facts = _facts(
        [
            ("name", text(answer.name, most=_LONG)),
            ("type", text(answer.dtype)),
            ("axes", _axes(answer.axes)),
            ("values", answer.values),
            ("classes", f"{answer.num_classes:,}"),
        ]
    )
    shown = answer.class_names[:_MOST_CLASSES]
    more = len(answer.class_names) - len(shown)
    names = [f"{place}. {text(name)}" for place, name in enumerate(shown)]
    rest = ["", f"and {more:,} more."] if more else []
    return [*facts, *(["", *names, *rest] if names else [])]


def _accuracy(card: ModelCard) -> list[str]:
    rows = [_share(split, found) for split, found in card.quality.items()]
    words = next((found.metric.words for found in card.quality.values()), "quality")
    head = [f"| split | {words} | 95 % interval | examples |", "| --- | --- | --- | --- |"]
    after = []
    if "test" not in card.quality:
        after = ["", "Not measured on test: the search chose by validation, so that is too high."]
    return [*head, *rows, *after]


def _share(split: str, found: QualitySchema) -> str:
    return f"| {split} | {found.words} | {found.between} | {found.images:,} |"


def _costs(card: ModelCard) -> list[str]:
    costs, latency = card.costs, card.costs.latency
    where = f"{costs.latency_of}, {costs.runtime}, {latency.device or 'an unnamed device'}"
    said = f"{latency.median_ms:.4g} ms for {latency.batch} image(s), {latency.threads} thread(s)"
    load = None if costs.load_ms is None else f"{costs.load_ms:.4g} ms"
    return _facts(
        [
            ("parameters", f"{costs.parameters:,}"),
            ("multiply-accumulates", f"{costs.macs:,} for one image"),
            ("latency", said),
            ("measured of and in", text(where, most=_LONG)),
            ("remark", text(latency.remark) if latency.remark else None),
            ("loading", load),
            ("peak memory", _counted(costs.peak_memory_bytes, " bytes")),
        ]
    )


def _origin(card: ModelCard) -> list[str]:
    origin = card.origin
    images = ", ".join(f"{count:,} {split}" for split, count in card.dataset.images.items())
    versions = ", ".join(f"{name} {version}" for name, version in card.versions.items())
    return _facts(
        [
            ("job", f"{text(card.job_name)} ({text(card.job)})"),
            ("trial", f"{origin.trial}, rung {origin.rung}, {origin.epochs} epochs of recovery"),
            ("candidate", f"`{card.candidate_digest}`"),
            ("seed", str(origin.seed)),
            ("dataset", f"{text(card.dataset.name)}, `{card.dataset.sha256}`, images: {images}"),
            ("uploaded file", origin.weights_sha256 and f"`{origin.weights_sha256}`"),
            ("engine revision", str(card.engine_revision)),
            ("made with", text(versions, most=_LONG)),
        ]
    )


def _axes(axes: tuple[int | str, ...]) -> str:
    return text(", ".join(map(str, axes)), most=_LONG)


def _counted(count: int | None, unit: str = "") -> str | None:
    return None if count is None else f"{count:,}{unit}"
