"""What every operator of a graph computes in torch."""
