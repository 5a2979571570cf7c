"""Files addressed by content, and what they are: uploads, models, datasets, artifacts."""
