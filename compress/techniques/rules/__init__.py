"""The rules of all techniques together: conditional fields, relations, the canonical form."""
