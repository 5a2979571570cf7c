"""What goes by itself or on request, and what keeps it."""
