"""Where bytes come from: the distribution API, over one guarded way to the network."""
