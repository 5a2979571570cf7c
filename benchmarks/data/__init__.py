"""Networks, images and tables that benchmarks use."""
