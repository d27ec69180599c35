"""What this host's container runtimes are configured to do: where each would look for an image."""
