"""What a run leaves on disk: its directory, its log, and what it takes to resume it."""

__all__: list[str] = []
