"""Answering over HTTP: registries that hand out what this process holds."""
