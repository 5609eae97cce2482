"""Files in and out: what is read is right, or refused with a code."""
