"""Where pulled images land: OCI layouts and archives.

A sink believes its caller about content and nobody else: what lies at the destination already is
hashed again before it counts.
"""
