"""What is said of networks, candidates and files: plain values, free of torch."""
