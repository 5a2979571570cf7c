"""The worker protocol: claims, leases, reports, outcomes."""
