"""The searcher: one at a time, step by step."""
