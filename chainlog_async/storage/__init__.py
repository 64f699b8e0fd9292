"""Everything that knows an engine. `base` is the seam between the writer, the readers and an engine.

Engines import `base` and what stands below it, never each other. SQL stands here and in `admin`, nowhere else.
"""
