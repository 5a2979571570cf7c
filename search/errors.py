"""Errors of the search. Each class states a fact, and its name is the code that a user sees."""


class SearchError(Exception):
    """The search cannot go on as asked."""


class InvalidSpace(SearchError):
    """A range lies outside what a technique accepts."""


class TechniqueDoesNotFit(SearchError):
    """A technique asks for something the network does not have."""


class CandidateDoesNotFit(SearchError):
    """A proposed candidate is not one that the job could try."""


class WarmStartDoesNotFit(SearchError):
    """A job cannot start from the jobs that it names."""


class ForeignStudy(SearchError):
    """The study that is to be imported cannot be read."""


class SamplerDoesNotFit(SearchError):
    """The sampler that the job asks for cannot search its space."""


class InfeasibleConstraint(SearchError):
    """No candidate of the space can meet a constraint."""


class ImagesTooSmall(SearchError):
    """A network's strides leave nothing of the images."""


class SupernetDoesNotFit(SearchError):
    """The supernet that the job asks for cannot be trained, or could serve no candidate."""


class ProfileDoesNotFit(SearchError):
    """A profile is missing, or is of another network than the job's."""


class StudySchemaOutdated(SearchError):
    """The study's tables are missing or old: run `featherweight migrate`."""


class SearcherRunning(SearchError):
    """A searcher holds the studies: stop it first."""


class LeadershipLost(SearchError):
    """Another searcher has taken over."""
