"""Zips of folders of pictures: what is in them, and how pictures become arrays."""
