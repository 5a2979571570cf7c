"""Run trials: claim over HTTP, compress, train, measure, export, report."""
