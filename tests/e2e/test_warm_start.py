"""A job that starts from another one's front, and a candidate of a user behind it."""

import pytest

from featherweight.specs.states import JobState, Phase
from tests.e2e.conftest import TINY

pytestmark = pytest.mark.proof
FIRST = {"budget": {"trials": 3, "parallel_trials": 1}, "finish": {"trials": 0}}
SECOND = {"budget": {"trials": 4, "parallel_trials": 1}, "finish": {"trials": 0}}


def watched(client, spec):
    job = client.submit(spec)
    for _ in client.watch(job.id):
        pass
    return client.job(job.id)


@pytest.fixture(scope="module")
def both(house, client, digits):
    """The first job and the second, at their ends, and what the user's candidate was answered."""
    data = client.upload_dataset(digits, name="digits").name
    house.start("worker")
    first = watched(client, TINY | FIRST | {"data": data})
    # Without a worker the second job waits at its baseline, however slow this machine is: the
    # candidate comes after those of the warm start and before the budget is spoken for.
    assert house.kill("worker", 15) == 0
    start = {"warm_start": {"jobs": [first.id], "candidates": 2}, "data": data}
    second = client.submit(TINY | SECOND | start)
    next(event for event in client.watch(second.id) if event.type == "trial.created")
    steps = [{"technique": "filter_pruning", "ratios": [0.15, 0.35]}]
    answers = client.propose(second.id, [{"steps": steps}])
    house.start("worker")
    for _ in client.watch(second.id):
        pass
    yield first, client.job(second.id), answers
    assert house.kill("worker", 15) == 0


def test_the_second_job_tries_the_first_ones_front_first_within_its_budget(client, both):
    first, second, answers = both
    assert (first.state, second.state) == (JobState.SUCCEEDED, JobState.SUCCEEDED)
    tried = {trial.candidate_digest: trial for trial in client.trials(first.id)}
    trials = [trial for trial in client.trials(second.id) if trial.phase != Phase.TEST]
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    opening = list(client.candidates(second.id))
    warm = [one for one in opening if one.origin == "warm"]
    assert 1 <= len(warm) <= 2
    assert [trial.origin for trial in trials[1 : 1 + len(warm)]] == ["warm"] * len(warm)
    assert all(one.candidate_digest in tried for one in warm)
    [answer] = answers
    [own] = [trial for trial in trials if trial.origin == "user"]
    assert (answer.is_new, own.candidate_digest) == (True, answer.candidate_digest)
    assert own.measurement is not None


def test_what_is_compared_is_relative_to_the_baseline_timed_beside_it(client, both):
    _, second, _ = both
    baseline, *others = client.trials(second.id)
    assert baseline.measurement.latency.ratio is None
    reference = baseline.measurement.latency.median_ms
    for trial in others:
        latency = trial.measurement.latency
        assert latency.reference_ms == reference
        assert latency.baseline_ms > 0
        assert latency.device
        assert trial.measurement.value("latency_ms") == pytest.approx(latency.ratio * reference)
