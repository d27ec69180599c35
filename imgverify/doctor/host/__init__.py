"""What this host's container runtimes would do for an image, and where that can be got around."""
