"""EfficientNet: inverted residuals scaled in width, depth and resolution together."""
