"""Who vouches for it? Bytes, trust and the time in; evidence or a rejection out (pure)."""
