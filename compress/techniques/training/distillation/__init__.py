"""Knowledge distillation: the student learns from the baseline's logits."""
