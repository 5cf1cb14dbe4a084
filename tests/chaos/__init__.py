"""Chaos: sweeps that are killed, stopped and made to hang at random moments, and judged from outside."""
