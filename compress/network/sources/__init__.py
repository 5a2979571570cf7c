"""Where networks come from: files, read with bounds."""
