"""``flowbridge doctor``: what would go wrong, found before it does."""
