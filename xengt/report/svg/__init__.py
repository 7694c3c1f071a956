"""Pictures as SVG elements, for the HTML pages."""
