"""Event streams, and requests that wait for a change."""
