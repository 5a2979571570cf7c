"""What a technique says of itself: config, rules, costs. Torch-free, below every technique."""
