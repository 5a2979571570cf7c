"""The Python client: submit a job, watch it, list its front, download its files."""

from featherweight.client.client import Client

__all__ = ["Client"]
