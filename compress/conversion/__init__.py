"""How a measured file becomes one of another target, and is proven. Torch-free."""
