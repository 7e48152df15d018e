"""The process tree, and the orders that an operator may give."""
