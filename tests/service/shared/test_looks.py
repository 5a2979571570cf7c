"""How far a look into uploaded data is, and who can end it."""

import asyncio

import pytest

from featherweight.system.bounded import GivenUp
from service.shared import looks
from service.shared.looks import Look, Looks


def test_a_look_tells_how_far_it_is_until_it_is_dropped():
    look = Look(grace_seconds=0)
    assert (look.found.stage, look.found.share) == ("waiting", 0)
    look.tell("converting", 0.25)
    assert (look.found.stage, look.found.share) == ("converting", 0.25)
    look.drop()
    with pytest.raises(GivenUp):
        look.tell("converting", 0.5)


def test_a_sender_that_hangs_up_ends_it_unless_it_may_come_back_and_asks():
    at_once, patient = Look(grace_seconds=0), Look(grace_seconds=60)
    for look in (at_once, patient):
        look.leave()
    assert not at_once.is_wanted
    assert patient.is_wanted
    patient.asked()
    patient.tell("inspecting", 1.0)


def begun(upload, act):
    """Run ``act(looks, look, hung_up)`` within a look."""

    async def run():
        found, hung_up = Looks(), asyncio.get_running_loop().create_future()
        async with found.begun(upload, hung_up) as look:
            await act(found, look, hung_up)
        return found, hung_up

    return asyncio.run(run())


def test_an_upload_is_known_while_it_is_looked_into():
    async def act(found, look, hung_up):
        look.tell("inspecting", 0.5)
        assert found.found("a").share == 0.5
        assert found.found("b") is None
        found.drop("b")
        found.drop("a")
        assert not look.is_wanted

    found, hung_up = begun("a", act)
    assert found.found("a") is None
    assert hung_up.cancelled()


def test_a_form_without_an_upload_ends_with_its_sender():
    async def act(found, look, hung_up):
        hung_up.set_result(None)
        await asyncio.sleep(0)
        assert not look.is_wanted

    begun(None, act)


def test_who_names_an_upload_again_waits_for_the_first(monkeypatch):
    monkeypatch.setattr(looks, "_LOOK_SECONDS", 0)
    order = []

    async def take(found, name):
        hung_up = asyncio.get_running_loop().create_future()
        async with found.begun("a", hung_up):
            order.append(f"{name} in")
            for _ in range(3):
                await asyncio.sleep(0)
            order.append(f"{name} out")

    async def run():
        found = Looks()
        await asyncio.gather(take(found, "one"), take(found, "two"))

    asyncio.run(run())
    assert order == ["one in", "one out", "two in", "two out"]
