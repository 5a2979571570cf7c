"""Model cards of files, from their manifests, headers and jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from compress.targets import onnxruntime, registry
from compress.targets.target import Runtime, Target
from compress.tasks.formats.words import TextInfo
from compress.tasks.inspection import DatasetInfo
from compress.values.file_formats.onnx_header import OnnxHeader
from compress.values.measurement import FIRST_PRIMARY, Measurement, Split
from featherweight.cards import subject, text_subject
from featherweight.cards.card import (
    CardCosts,
    CardDataset,
    CardFile,
    CardInput,
    CardOutput,
    CardRuntime,
    CardTarget,
    CardText,
    ModelCard,
)
from featherweight.cards.subject import Subject
from featherweight.cards.text_subject import TextSubject
from featherweight.specs.manifest import Manifest
from featherweight.specs.schemas import QualitySchema
from service.reports import accuracies
from store.files import datasets, models
from store.session import Session
from store.tables.records import JobRecord

_LICENCES = ("license", "licence")
_LARGEST_ERROR = "featherweight.largest_error"
_RUNTIME = "onnxruntime"


@dataclass(frozen=True, kw_only=True)
class CardContext:
    """What a manifest does not say: names, and what is known of the data."""

    job: str
    job_name: str
    model: str | None
    dataset: str
    data: DatasetInfo


@dataclass(frozen=True, kw_only=True)
class DescribedFile:
    """A file in one target's form, and what stands in it."""

    name: str
    sha256: str
    size_bytes: int
    header: OnnxHeader
    target: Target


def surroundings(session: Session, job: JobRecord) -> CardContext:
    """Read the names of a job, its model and its data."""
    dataset = datasets.get(session, job.dataset_id)
    return CardContext(
        job=job.id,
        job_name=job.name,
        model=models.get(session, job.model_id).name if job.model_id else None,
        dataset=dataset.name,
        data=DatasetInfo.model_validate(dataset.info),
    )


def described(header: OnnxHeader, manifest: Manifest, around: CardContext) -> Subject | TextSubject:
    """Return what programs need to know of a file. Raises NoSnippet."""
    text = around.data.text
    if text is not None and text.settings is not None:
        return text_subject.of(header, text.settings, around.data.class_names)
    return subject.of(
        header,
        layout=manifest.input.layout,
        classes=around.data.class_names,
        value_range=around.data.value_range,
    )


def card(file: DescribedFile, manifest: Manifest, around: CardContext) -> ModelCard:
    """Write the card of a file. The manifest has what was measured on test, if anything was."""
    measured = manifest.measurement
    return ModelCard(
        job=around.job,
        job_name=around.job_name,
        network=_network(manifest, around),
        description=manifest.candidate.describe(),
        candidate=manifest.candidate,
        candidate_digest=manifest.candidate_digest,
        file=_file(file, manifest),
        target=_target(file, manifest),
        input=_input(file, manifest, around),
        text=_text(manifest, around.data.text),
        output=_output(file, manifest, around),
        quality=(found := _qualities(measured, around.data)),
        accuracy=found if measured.primary == FIRST_PRIMARY else {},
        costs=_costs(file, manifest),
        dataset=CardDataset(
            name=around.dataset,
            sha256=manifest.origin.data_sha256,
            images=around.data.splits,
        ),
        origin=manifest.origin,
        licence=_licence(file.header.metadata),
        notes=measured.notes,
        engine_revision=measured.engine_revision,
        versions=manifest.versions,
    )


def _qualities(measured: Measurement, data: DatasetInfo) -> dict[Split, QualitySchema]:
    found: dict[Split, QualitySchema] = {}
    for split in measured.scores:
        share = accuracies.of(measured, split, data)
        if share is not None:
            found[split] = share
    return found


def _network(manifest: Manifest, around: CardContext) -> str:
    named = f"the model {around.model}: " if around.model else ""
    student = f", by a student: {manifest.student}" if manifest.student else ""
    return f"{named}{manifest.architecture}{student}"


def _file(file: DescribedFile, manifest: Manifest) -> CardFile:
    is_measured = file.sha256 == manifest.file_sha256
    return CardFile(
        name=file.name,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        opset=file.header.opset,
        ir_version=file.header.ir_version,
        measured_sha256=manifest.file_sha256,
        download_bytes=manifest.measurement.download_bytes if is_measured else None,
    )


def _target(file: DescribedFile, manifest: Manifest) -> CardTarget:
    target = file.target
    return CardTarget(
        name=target.name,
        description=target.description,
        unproven=target.unproven,
        runtimes=tuple(_runtime(runtime, file, manifest) for runtime in target.runtimes),
    )


def _runtime(runtime: Runtime, file: DescribedFile, manifest: Manifest) -> CardRuntime:
    ran, proof = None, "not run here: the form was tried in these versions, not this file"
    if runtime.name == _RUNTIME:
        is_measured = file.sha256 == manifest.file_sha256
        ran, proof = _proof(manifest) if is_measured else _comparison(file.header)
    oldest = runtime.oldest
    if file.target is registry.AS_MADE:
        header = file.header
        oldest = onnxruntime.oldest(header.opset, has_functions=header.has_functions)
    return CardRuntime(
        name=runtime.name, oldest=oldest, newest=runtime.newest, ran=ran, proof=proof
    )


def _proof(manifest: Manifest) -> tuple[str | None, str]:
    parity = manifest.measurement.parity
    ran = manifest.versions.get(_RUNTIME)
    where = f"in {_RUNTIME} {ran}" if ran else f"in a version of {_RUNTIME} that is not recorded"
    return ran, (
        f"measured {where}; on {parity.images:,} images its answers differ from the network's by "
        f"at most {parity.max_abs_error:.3g}"
    )


def _comparison(header: OnnxHeader) -> tuple[str | None, str]:
    found = header.metadata.get(_LARGEST_ERROR)
    if found is None:
        return None, "not run here"
    _, _, version = found.rpartition(f"{_RUNTIME} ")
    return version[:40], f"compared with the measured file: the largest difference is {found}"


def _input(file: DescribedFile, manifest: Manifest, around: CardContext) -> CardInput:
    port = file.header.inputs[0]
    return CardInput(
        name=port.name,
        dtype=port.dtype,
        layout=manifest.input.layout,
        axes=port.shape,
        shape=manifest.input.shape,
        value_range=around.data.value_range,
        normalisation=manifest.input.normalisation,
    )


def _text(manifest: Manifest, found: TextInfo | None) -> CardText | None:
    if found is None or found.settings is None:
        return None
    kept = manifest.kept_words
    return CardText(
        settings=found.settings,
        vocabulary=found.vocabulary,
        kept_words=len(kept) if isinstance(kept, tuple) else kept,
        package_bytes=manifest.measurement.package_bytes,
    )


def _output(file: DescribedFile, manifest: Manifest, around: CardContext) -> CardOutput:
    header, port = file.header, file.header.outputs[0]
    inside = subject.class_names(header)
    return CardOutput(
        name=port.name,
        dtype=port.dtype,
        axes=port.shape,
        values="probabilities" if header.made_by.get(port.name) == "Softmax" else "logits",
        num_classes=manifest.num_classes,
        class_names=inside or around.data.class_names,
        class_names_inside=bool(inside),
    )


def _costs(file: DescribedFile, manifest: Manifest) -> CardCosts:
    measured = manifest.measurement
    is_measured = file.sha256 == manifest.file_sha256
    latency = measured.latency
    recorded = manifest.versions.get(_RUNTIME, "of an unrecorded version")
    return CardCosts(
        parameters=measured.parameters,
        macs=measured.macs,
        latency=latency,
        runtime=f"{latency.runtime or _RUNTIME} {latency.runtime_version or recorded}",
        latency_of="this file" if is_measured else "the measured file",
        load_ms=measured.load_ms,
        peak_memory_bytes=measured.peak_memory_bytes,
    )


def _licence(metadata: Mapping[str, str]) -> str | None:
    """Return what the uploaded file says of its licence: its metadata stay in every file of it."""
    said = {key.lower(): text for key, text in metadata.items()}
    return next((said[key] for key in _LICENCES if said.get(key)), None)
