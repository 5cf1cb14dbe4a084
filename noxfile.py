"""The sessions of this project: ``nox -l`` lists them.

They come from ``matrix/``, through the same function that any project's noxfile can call.
"""

import sys
from pathlib import Path

# A bare Python has nox and nothing else yet.
sys.path.insert(0, str(Path(__file__).parent / "src"))

from meshsweep import declare_sessions

declare_sessions(__file__)
