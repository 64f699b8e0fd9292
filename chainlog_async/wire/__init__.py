"""What a `chainlog serve` and the engine `storage.remote` say to each other over HTTP, version 1.

Internal to this package, but versioned: client and server may be of different releases. Fields are only ever added.
"""
