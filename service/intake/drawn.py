"""Whether a job that trains a drawn network has the data for it, and asks what it can do."""

from __future__ import annotations

from compress.network.sources.source import DrawnSource
from compress.tasks.inspection import DatasetInfo
from compress.values.errors import InvalidCandidate
from featherweight.specs.job import JobSpec, UntrainedModel
from search.errors import TechniqueDoesNotFit
from service.errors import ModelDoesNotFitData


def check(spec: JobSpec, data: DatasetInfo) -> None:
    """Check a drawn network of the job against its data, and what else the job asks of it.

    Raises ModelDoesNotFitData if networks of the family are for another task or other examples, and
    TechniqueDoesNotFit if members of it are to be tried.
    """
    source = _drawn(spec)
    if source is None:
        return
    try:
        source.fitted(data.examples)
    except InvalidCandidate as error:
        raise ModelDoesNotFitData(f"model.architecture: {error} (data: {spec.data})") from error
    if takes_ids(spec) and _normalisation(spec):
        raise ModelDoesNotFitData(
            f"model.normalisation: networks of the family {source.config.family} look ids up in a "
            "table, and ids have no mean: leave it out"
        )
    _check_members(spec, source)


def takes_ids(spec: JobSpec) -> bool:
    """Whether the job trains a network that looks its input up in a table."""
    source = _drawn(spec)
    return source is not None and source.config.takes_ids


def _check_members(spec: JobSpec, source: DrawnSource) -> None:
    asked = [name for name in ("student", "supernet") if getattr(spec, name) is not None]
    asked += ["techniques.family_member"] if "family_member" in spec.techniques else []
    if asked:
        raise TechniqueDoesNotFit(
            f"{' and '.join(asked)}: networks of the family {source.config.family} have no members "
            "that share weights, only those of families for images do: leave "
            f"{'them' if len(asked) > 1 else 'it'} out, and let pruning find the widths"
        )


def _drawn(spec: JobSpec) -> DrawnSource | None:
    source = spec.model.architecture if isinstance(spec.model, UntrainedModel) else None
    return source if isinstance(source, DrawnSource) else None


def _normalisation(spec: JobSpec) -> bool:
    return isinstance(spec.model, UntrainedModel) and spec.model.normalisation is not None
