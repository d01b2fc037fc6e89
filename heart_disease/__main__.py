"""`python -m heart_disease` is the `heart` command."""

import sys

from heart_disease.cli.main import main

sys.exit(main())
