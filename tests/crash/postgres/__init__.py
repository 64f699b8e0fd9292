"""Writers, servers and networks that die under a log on PostgreSQL."""
