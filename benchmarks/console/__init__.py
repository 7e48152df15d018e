"""The cost of the console, to those who look and to those who only call."""
