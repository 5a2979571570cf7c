"""Whether two checkouts of this repository do the same: files, fronts, answers, rows, studies.

Each checkout is a black box. What is used of it is its command line, its HTTP API, and the tables
of its databases: no module of it is imported, so that modules may move and change their names.
"""
