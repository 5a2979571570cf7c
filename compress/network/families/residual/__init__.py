"""The residual family of He et al., CIFAR form (6n+2 layers): elastic in width and depth."""
