"""Whatever a search can make has a form for the target that a job asks for if it names none."""

from __future__ import annotations

import numpy as np
import pytest

from compress import delivery
from compress.evaluation import runtime
from compress.export import parity
from compress.targets.plain import PLAIN
from compress.targets.portable import PORTABLE
from compress.techniques.candidate import Candidate
from tests.compress.contract import CASES, NETWORKS, Made


@pytest.mark.proof
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_technique_on_every_network(networks, five, tmp_path, name, case):
    if case.technique == "family_member" and "residual" not in name:
        pytest.skip("members are of families")
    candidate = (
        Candidate(network=case.config)
        if case.technique == "family_member"
        else Candidate(steps=(case.config,))
    )
    made = Made(networks[name], candidate, five, tmp_path)
    x_NCHW = parity.images(five.validation)
    expected = runtime.answers(runtime.session(made.file.path), x_NCHW)
    for target in (PORTABLE, PLAIN):
        file = delivery.write(made.start, tmp_path, target=target, data=five, name=target.name)
        found = runtime.answers(runtime.session(file.path), x_NCHW)
        np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))
        np.testing.assert_allclose(found, expected, atol=1e-3 * expected.std())
