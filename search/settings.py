"""Settings of the searcher, read from the environment with the prefix ``FEATHERWEIGHT_``."""

from pydantic import Field

from store.settings import StoreSettings


class SearcherSettings(StoreSettings):
    """The addresses of the store, and the searcher's own intervals."""

    searcher_lease_seconds: float = Field(
        default=30.0, gt=0, description="A silent searcher is replaced by another one after this."
    )
    look_ahead: int = Field(
        default=2,
        ge=0,
        description="Waiting trials beyond those that can run at once; long ones hardly wait.",
    )
    searcher_poll_seconds: float = Field(
        default=1.0, gt=0, le=60, description="Longest pause between two looks at the jobs."
    )
