"""How a file takes examples and answers, put back into a graph that has one port of each."""
