"""How it is told: results.json, the tables and the chart, and the pages that they are put into."""
