"""Which trials train on, and which are stopped."""
