"""The command line: translate, call once, print, exit."""
