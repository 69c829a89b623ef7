"""The controller: it puts triggers in force."""
