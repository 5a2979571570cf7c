"""What all techniques say together: conditional fields, relations, the canonical form."""
