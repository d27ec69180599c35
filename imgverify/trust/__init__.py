"""Whom do we believe? Trust material, shipped and from files."""
