"""The sampler's memory: one study of Optuna per job, a projection of our tables.

Only the searcher writes it. It can be deleted at any time and rebuilt from the trials.
"""

from search.study.importing import best_of
from search.study.projection import Proposal, StudyProjection
from search.study.rebuilding import rebuild
from search.study.storage import OUTAGES, close_storage, migrate, open_storage

__all__ = [
    "OUTAGES",
    "Proposal",
    "StudyProjection",
    "best_of",
    "close_storage",
    "migrate",
    "open_storage",
    "rebuild",
]
