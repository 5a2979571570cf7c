"""200 racing uploads and deletes: no file that is referenced is lost, no other is left."""

import pytest

from tests.service import racing


@pytest.mark.proof
def test_racing_uploads_and_deletes_lose_no_file_and_leave_none(either_service):
    service = either_service
    house = racing.house(service.database, service.files, service.settings)
    with racing.collecting(house):
        answers = racing.race(service.client.request, racers=8, steps=25)
    expected = {("upload", 201), ("upload", 200), ("delete", 204), ("part", 200)}
    assert set(answers) <= expected, answers
    assert answers["upload", 201] > 50
    assert answers["delete", 204] > 30
    assert racing.lost(service.database, service.files) == []
    racing.collect_last(house)
    assert racing.lost(service.database, service.files) == []
    known, on_disk = racing.stored(service.database, service.files)
    assert known == on_disk == racing.referenced(service.database)
    left = [*service.files.folder.glob("temporary/*"), *service.files.folder.glob("uploads/*")]
    assert left == []
