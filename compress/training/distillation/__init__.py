"""Learning from a teacher, with losses on logits and on feature maps."""
