"""Single weights become zeros: unstructured, or N of every M."""
