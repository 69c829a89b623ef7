"""HTTP in: Argo Events' webhook contract, and CloudEvents over HTTP."""
