"""How a network runs: memory format, strided convolutions, who reads what a layer puts out."""
