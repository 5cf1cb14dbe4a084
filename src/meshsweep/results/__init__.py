"""What became of every test, and how that is shown."""

__all__: list[str] = []
