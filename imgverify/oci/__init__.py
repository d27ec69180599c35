"""What images are made of, in the words of the OCI specifications; standard library only."""
