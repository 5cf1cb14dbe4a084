"""Each way of spreading the model over a mesh, held against the reference; a suite that cells can run."""
