"""MobileNetV2: inverted residuals, elastic in width, depth, kernel and expansion."""
