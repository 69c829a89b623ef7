"""Windows: the buffered arrivals of a trigger for a key, the rules that all kinds share, and the kinds."""
