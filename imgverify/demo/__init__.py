"""The main job on this machine with nothing set up: what `imgverify demo` shows."""
