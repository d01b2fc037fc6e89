"""What Schemathesis cannot know from the description of the API: how a CSV file of patients is written.

Schemathesis loads this module by its name.
"""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

from heart_disease.model import schema
from tests.harness.data import patients

FRAME = patients.make(60)[list(schema.INPUT_NAMES)]


@st.composite
def files(draw: st.DrawFn) -> str:
    """Some patients, with the columns in any order, perhaps with another column."""
    rows = draw(st.lists(st.sampled_from(range(len(FRAME))), min_size=1, max_size=30))
    columns = draw(st.permutations([*schema.INPUT_NAMES, *draw(st.sampled_from([[], ["name"]]))]))
    return FRAME.iloc[rows].assign(name="x")[columns].to_csv(index=False)


schemathesis.openapi.format("csv", files())
