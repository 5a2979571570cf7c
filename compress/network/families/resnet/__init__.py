"""The residual family of He et al., ImageNet form: elastic in width, depth and inner channels."""
