"""Speed, measured as ratios against named rivals in one run; never a test."""
