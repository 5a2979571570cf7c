"""Who is there: the active searcher, the reaper, and whoever waits for a change."""
