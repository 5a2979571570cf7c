"""Meters: devices that measure files which others made."""
