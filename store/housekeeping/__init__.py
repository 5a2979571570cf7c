"""Remove what has expired or was deleted, and protect what is still needed."""
