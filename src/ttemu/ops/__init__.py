"""The ops that compute on each device by itself, one module per kind."""
