"""What an event says besides its payload: its key, id and time, and the topic that its name has."""
