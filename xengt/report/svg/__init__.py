"""Charts as SVG elements for the HTML pages."""
