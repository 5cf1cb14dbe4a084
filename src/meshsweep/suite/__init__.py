"""The suite in a worker: expanded over cells, run one test at a time, on meshes that stay open."""

__all__: list[str] = []
