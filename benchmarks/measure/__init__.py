"""The parts of every benchmark: processes and their cost, load, Markdown tables, SVG charts."""
