"""Prove that the suite catches defects: put one fault at a time into the model, and see which tests fail."""
