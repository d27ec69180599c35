"""What is required of an image, and the decision.  Pure."""
