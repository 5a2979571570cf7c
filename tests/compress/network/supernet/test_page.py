import json
import re
from pathlib import Path

from compress.network.families import layout
from compress.network.supernet.check import check
from compress.network.supernet.config import Elastic
from featherweight.specs.job import JobSpec

PAGE = Path(__file__).parents[4] / "docs" / "supernets.md"


def test_the_job_of_the_page_can_be_posted_and_its_supernet_trained():
    (text,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.S)
    spec = JobSpec.model_validate(json.loads(text))
    assert spec.student is not None
    assert spec.supernet is not None
    member = spec.ranges["family_member"]
    assert member["weights"].choices == ("supernet",)
    elastic = Elastic(
        widths=member["width"].choices,
        depths=member["depth"].choices,
        kernels=member["kernel"].choices,
        expansions=member["expansion"].choices,
    )
    whole = spec.student.outline(input_shape=(1, 8, 8), num_classes=10).elastic
    check(elastic, whole, epochs=spec.supernet.epochs)
    rows = layout.layers(spec.student.config, in_channels=1, num_classes=10, image=(8, 8))
    assert rows[-2].output[1:] == (1, 1)
