"""One folder per technique: ``config.py``, ``technique.py``, ``apply.py``, its mathematics."""
