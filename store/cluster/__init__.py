"""Who is running: the active searcher, the reaper, and everything that waits for a change."""
