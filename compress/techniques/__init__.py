"""One folder per technique, with ``config.py``, ``technique.py``, ``apply.py`` and its methods."""
