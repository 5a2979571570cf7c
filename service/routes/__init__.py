"""The doors of the service, one file per noun."""
