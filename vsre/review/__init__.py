"""``vsre review``: let people judge labels on a page, and read what they answered."""
