"""Remembers: tables, queries, leases, files. The only room that speaks SQL."""
