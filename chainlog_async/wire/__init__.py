"""The HTTP protocol between a `chainlog serve` and the engine `storage.remote`, version 1.

Internal to this package, but versioned: client and server may be of different releases. Fields are only ever added.
"""
