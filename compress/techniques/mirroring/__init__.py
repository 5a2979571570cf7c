"""Mirroring: the file answers with the mean over an image and its mirror images."""
