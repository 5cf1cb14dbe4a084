"""From a matrix to what runs where: waves, slots, tasks, and a picture of them."""

__all__: list[str] = []
