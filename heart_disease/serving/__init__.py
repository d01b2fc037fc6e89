"""The scoring API, the version that it follows, and the rehearsal before a version becomes champion."""
