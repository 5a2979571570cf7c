"""The forms in which data comes in, read with bounds."""
