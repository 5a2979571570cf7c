"""The parts with which a technique describes itself: config, rules and costs. Torch-free."""
