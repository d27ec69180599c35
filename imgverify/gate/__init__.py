"""Which images files name, and where: bytes in, references with their places out.

Nothing here reads a file or asks a registry: `imgverify.worktree` reads, `imgverify.verify` asks.
"""
