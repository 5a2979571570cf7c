"""One folder per technique: ``config.py``, its mathematics, ``apply.py``."""
