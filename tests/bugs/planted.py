"""``pytest -p tests.bugs.planted`` runs tests with the bug that ``MINISPIRAL_BUG`` names."""

import os
from contextlib import ExitStack

from hypothesis import Phase, settings

from tests.bugs import BUGS

# One failing example is enough: do not shrink it, do not save it.
settings.register_profile("planted", phases=[Phase.explicit, Phase.generate], database=None)
settings.load_profile("planted")

planted = ExitStack()  # until the process ends
if name := os.environ.get("MINISPIRAL_BUG"):
    planted.enter_context(BUGS[name].planted())
