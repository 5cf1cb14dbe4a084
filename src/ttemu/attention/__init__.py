"""Attend: heads and their rotation, caches of keys and values, prefill and decode."""
