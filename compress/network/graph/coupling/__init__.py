"""How channels depend on each other along a graph: labels, one rule per operator, groups."""
