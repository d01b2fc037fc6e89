"""The page and the API that score, the version that they follow, and the rehearsal before a version is champion."""
