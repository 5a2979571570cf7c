"""MobileNetV3, large and small: inverted residuals with h-swish and squeeze and excitation."""
