"""The lecture's ideas, each run on the pipeline's own code: one module per lesson.

A lesson has `TITLE`, `Settings` (what may be changed, checked by pydantic) and `run(settings) -> Lesson`. Nothing heavy
is imported at the top of these modules, because the command line reads their settings to answer --help.
"""
