"""The parts of a report's pages: charts with their numbers as tables, and what is said of finished runs."""
