"""The depthwise-separable family for keyword spotting: elastic in width, depth and kernel."""
