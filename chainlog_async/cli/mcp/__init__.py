"""The tools that `chainlog mcp` offers to agents."""
