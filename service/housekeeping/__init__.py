"""Remove what has expired, and check the installation (the doctor)."""
