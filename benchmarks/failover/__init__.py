"""Faults under constant load: which requests fail, which run twice, how soon traffic moves on."""
