"""The VGG family with BatchNorm: elastic in width and depth."""
