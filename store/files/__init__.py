"""Files addressed by their content, and their uses: uploads, models, datasets, artifacts."""
