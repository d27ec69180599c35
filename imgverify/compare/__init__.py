"""Is it the same?  Pure: values in, values out."""
