"""What a mirror really does, found out with few requests: gather, judge, render."""
