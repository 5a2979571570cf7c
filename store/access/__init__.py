"""Who may do what: tokens, sessions, owners, limits, and the audit log."""
