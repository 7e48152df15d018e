"""Spring Cloud Gateway's configuration, made into a routes document."""
