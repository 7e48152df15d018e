"""Routes: where a request goes, under which terms, and who may send it."""
