"""The endpoints of the service, one file per noun."""
