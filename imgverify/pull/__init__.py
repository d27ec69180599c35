"""Bring an image here: exactly the bytes that a verdict named."""
