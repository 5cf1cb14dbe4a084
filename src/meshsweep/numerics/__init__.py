"""How near the numbers come: what is measured, what is asked for, and how one follows from the other."""

__all__: list[str] = []
