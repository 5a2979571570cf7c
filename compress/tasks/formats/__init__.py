"""The file formats of incoming data, read within bounds."""
