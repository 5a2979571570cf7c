"""A meter's side of the protocol. Nothing here retries on its own."""

from __future__ import annotations

from pydantic import BaseModel

from featherweight.client import fenced
from featherweight.client.fenced import Answer
from featherweight.client.transport import ONCE, Call, RetryPolicy, Transport
from featherweight.specs.cluster import (
    MeterBeat,
    MeterClaim,
    MeterInfo,
    MeterReading,
    MeterResult,
    MeterTask,
)


class MeterClient:
    """Claim a measurement, keep its lease, report or release it.

    Each tries once and raises ServiceUnavailable. StaleAttempt and NotFound mean that the
    measurement is no longer ours.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._transport = Transport(url, token=token, retry=RetryPolicy())

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def claim(self, meter: MeterInfo, *, wait_seconds: float) -> MeterTask | None:
        """Return one file to measure, or None if there was none within ``wait_seconds``."""
        request = MeterClaim(meter=meter, wait_seconds=wait_seconds)
        call = Call(
            method="POST",
            path="/v1/measurements",
            json=request.model_dump(mode="json"),
            timeout_seconds=wait_seconds + 15.0,
        )
        answer = self._transport.send(call, retry=ONCE)
        return MeterTask.model_validate_json(answer.content) if answer.content else None

    def heartbeat(self, task: MeterTask) -> MeterBeat:
        """Extend the lease."""
        return self._say(MeterBeat, task, "heartbeat", timeout_seconds=5.0)

    def report(self, task: MeterTask, result: MeterResult) -> MeterReading:
        """Report what was measured. A repeat changes nothing."""
        return self._say(MeterReading, task, "result", result)

    def release(self, task: MeterTask) -> MeterReading:
        """Give the file back."""
        return self._say(MeterReading, task, "release")

    def _say(
        self,
        answer: type[Answer],
        task: MeterTask,
        verb: str,
        body: BaseModel | None = None,
        *,
        timeout_seconds: float = 30.0,
    ) -> Answer:
        path = f"/v1/measurements/{task.measurement}/{verb}"
        return fenced.say(
            self._transport,
            answer,
            path,
            token=task.token,
            body=body,
            timeout_seconds=timeout_seconds,
        )
