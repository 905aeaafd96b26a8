"""`python -m pki` is `pki`."""

import sys

from pki.cli import main

sys.exit(main())
