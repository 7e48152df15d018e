"""The console: a page for the people who run the gateway, at `/` of the admin port."""
