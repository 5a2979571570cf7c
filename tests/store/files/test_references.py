"""What keeps a stored file: no column that names one is forgotten."""

from sqlalchemy import select, update

from featherweight.specs.states import Phase
from store.files import references, uploads
from store.tables.records import Base, JobRecord, TrialRecord
from tests import factories

NAMES_ONLY = {
    "fw_files.sha256",  # the file itself
    "fw_rungs.file_sha256",  # what was measured; the figures stay without the file
    "fw_trials.file_sha256",
    "fw_profiles.weights_sha256",  # what was probed: the model and the dataset keep those
    "fw_profiles.dataset_sha256",
    "fw_jobs.profile_sha256",  # a profile, which keeps its file
    "fw_jobs.body_sha256",  # of requests and secrets, not of files
    "fw_candidate_posts.body_sha256",
    "fw_attempts.token_sha256",
    "fw_meterings.token_sha256",
    "fw_tokens.secret_sha256",
    "fw_sessions.secret_sha256",
}


def test_every_column_with_a_digest_either_keeps_its_file_or_is_known_to_be_a_name():
    columns = {
        str(column)
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if "sha256" in column.name
    }
    keeping = {str(column) for column in (*references.BY_KEY, references.BY_UPLOADS)}
    assert columns - keeping == NAMES_ONLY
    assert keeping == {
        "fw_artifacts.sha256",
        "fw_datasets.sha256",
        "fw_jobs.supernet_sha256",
        "fw_jobs.weights_sha256",
        "fw_models.sha256",
        "fw_profiles.sha256",
        "fw_uploads.sha256",
    }


def test_every_kind_of_reference_keeps_its_file(database):
    with database.write() as session:
        job = factories.searching_job(session)
        shared, weights, alone, tested = (factories.stored(session).sha256 for _ in range(4))
        session.execute(update(JobRecord).values(supernet_sha256=shared, weights_sha256=weights))
        factories.trial(session, job, phase=Phase.TEST, origin="test", rungs=(0,), files=(tested,))
        upload = uploads.create(session, size_bytes=1)
        sent = factories.stored(session).sha256
        uploads.finish(session, upload.id, sha256=sent)
        kept = TrialRecord.file_sha256.is_not(None)
        measured = session.scalars(select(TrialRecord.file_sha256).where(kept)).first()
        model = factories.model(session).sha256
    everything = {shared, weights, alone, tested, sent, measured, model}
    with database.read() as session:
        assert references.unkept(session, everything) == {alone}
        assert references.keeping(session, everything, besides_uploads=True) == (
            everything - {alone, tested, sent}
        )
