"""Learning from a teacher: losses on logits and on feature maps."""
