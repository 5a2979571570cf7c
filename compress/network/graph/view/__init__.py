"""The torch view of a graph: it runs, trains, and becomes a graph again."""
