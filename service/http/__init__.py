"""HTTP: documents, problems, parameters, routes and connections."""
