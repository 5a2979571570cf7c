"""``featherweight up``: the whole system on one machine, and a job in it."""

from __future__ import annotations

import logging
import signal
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from launch.local_cluster import LocalCluster

app = typer.Typer(add_completion=False)


@app.command()
def up(
    job: Annotated[Path | None, typer.Option(help="Job file to submit.")] = None,
    leave: Annotated[
        bool, typer.Option("--exit", help="Stop after the job instead of serving on.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the front to this file.")] = None,
    folder: Annotated[Path, typer.Option(help="Database, files and logs.")] = Path("var"),
    port: Annotated[
        int, typer.Option(min=1, max=65534, help="The dashboard takes the next port.")
    ] = (8000),
    workers: Annotated[int, typer.Option(min=1, max=64)] = 1,
) -> None:
    """Run service, dashboard, searcher and workers here; submit a job and show its front."""
    logging.basicConfig(format="%(message)s")
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    if json is not None and job is None:
        raise typer.BadParameter("--json writes the front of a --job")
    # Said before anything is imported that takes its time.
    typer.echo(f"starting service, dashboard, searcher and {_counted(workers)} in {folder}")
    from featherweight import jobfile
    from launch import own_job
    from launch.local_cluster import LocalCluster

    read = None if job is None else jobfile.read(job)
    cluster = LocalCluster(folder=folder, port=port, workers=workers)
    succeeded = True
    with cluster.running() as client:
        _say_where(cluster)
        if read is not None and job is not None:
            succeeded = own_job.run(client, read, job, cluster=cluster, json_path=json)
        if not leave:
            typer.echo("serving until Ctrl-C")
            _serve()
    raise typer.Exit(0 if succeeded else 1)


def _counted(workers: int) -> str:
    return "one worker" if workers == 1 else f"{workers} workers"


def _say_where(cluster: LocalCluster) -> None:
    url = cluster.url
    typer.echo(f"API        {url}/docs\ndashboard  {url}/dashboard\njobs       {url}/ui")
    typer.echo(f"logs       {cluster.folder / 'log'}")


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _serve() -> None:
    """Wait for the Ctrl-C that was invited: it is the end, and no failure."""
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)
