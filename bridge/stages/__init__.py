"""Controller, router, matcher, submitter: core rules on the stage loop."""
