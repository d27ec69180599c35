"""imgverify: is the image a mirror gives you the one upstream published?"""

__version__ = "0.1.0"
