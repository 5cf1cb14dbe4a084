"""The controller: what pytest and its workers tell, what is decided, and what is written down."""

__all__: list[str] = []
