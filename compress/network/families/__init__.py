"""Families of networks: a torch-free ``config.py`` and a torch ``network.py`` each."""
