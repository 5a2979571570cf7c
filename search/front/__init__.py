"""From measurements to the front of a job and the file to take."""
