"""What every benchmark here needs: processes and their cost, load, Markdown tables, SVG charts."""
