"""Worker processes: how they start, what they send, how they end."""

__all__: list[str] = []
