"""One rule per operator: what it demands of the channels along its operands and its outputs."""
